package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"viridian/rollout"
	"viridian/web"
)

// specChanges tells what one specification has and the other has not, field by field. Services are the same when they
// have the same name, wherever they stand.
func specChanges(before, after rollout.Spec) ([]web.Change, error) {
	old, err := flatSpec(before)
	if err != nil {
		return nil, err
	}
	now, err := flatSpec(after)
	if err != nil {
		return nil, err
	}
	fields := slices.Collect(maps.Keys(old))
	for field := range now {
		if _, both := old[field]; !both {
			fields = append(fields, field)
		}
	}
	slices.Sort(fields)
	var out []web.Change
	for _, field := range fields {
		was, had := old[field]
		is, has := now[field]
		if had != has || was != is {
			out = append(out, web.Change{Field: field, Old: was, New: is, Added: !had, Removed: !has})
		}
	}
	return out, nil
}

// flatSpec is a specification as names of fields with their values as text.
func flatSpec(spec rollout.Spec) (map[string]string, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	out := map[string]string{}
	flatten("", tree, out)
	return out, nil
}

func flatten(at string, value any, out map[string]string) {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			flatten(strings.TrimPrefix(at+"."+key, "."), inner, out)
		}
	case []any:
		var texts []string
		for i, item := range value {
			object, ok := item.(map[string]any)
			if !ok {
				texts = append(texts, fmt.Sprint(item))
				continue
			}
			name, named := object["name"].(string)
			if !named {
				name = fmt.Sprint(i)
			}
			flatten(at+"."+name, object, out)
		}
		if len(texts) > 0 || len(value) == 0 {
			out[at] = strings.Join(texts, ", ")
		}
	default:
		out[at] = fmt.Sprint(value)
	}
}
