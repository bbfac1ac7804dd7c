package server

import (
	"regexp"
	"strconv"
	"strings"

	"viridian/rollout"
	"viridian/web"
)

// entryOf names an entry of a list.
var entryOf = map[string]string{"services": "service", "hosts": "host", "routers": "router", "groups": "group", "instances": "instance",
	"checks": "check", "steps": "step", "environments": "environment", "expect_status": "status", "check_allow": "network", "preview_allow": "network"}

// placeOf says in words where a pointer leads: /services/0/health/interval is service "web", health, interval. Values is
// what it points into, which entries of lists are called by; nil where that is not at hand.
func placeOf(pointer string, values any) string {
	if name, parameter := strings.CutPrefix(pointer, "?"); parameter {
		return name + " in the address"
	}
	var words []string
	list := ""
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		values = inside(values, step)
		i, err := strconv.Atoi(step)
		if err != nil {
			words, list = append(words, strings.ReplaceAll(step, "_", " ")), step
			continue
		}
		entry := entryOf[list]
		if entry == "" {
			entry = "entry"
		} else if len(words) > 0 {
			words = words[:len(words)-1] // the entry says which list it is of
		}
		words, list = append(words, entry+" "+called(values, i)), ""
	}
	return strings.Join(words, ", ")
}

// inside is what a step of a pointer leads to; nil for nothing.
func inside(value any, step string) any {
	switch value := value.(type) {
	case tree:
		return value[step]
	case []any:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(value) {
			return value[i]
		}
	}
	return nil
}

// called is how people know the entry of a list: by its name or itself, else by its place.
func called(entry any, i int) string {
	if named, ok := entry.(tree); ok {
		entry = named["name"]
	}
	if text, ok := entry.(string); ok && text != "" && len(text) <= 80 {
		return strconv.Quote(text)
	}
	return strconv.Itoa(i + 1)
}

// otherPlace is where the text of an error names another value by its pointer.
var otherPlace = regexp.MustCompile(` at (/[a-z_]+(?:/[a-z0-9_]+)+)$`)

// detailOf is what is wrong, in words alone. Entries of lists are counted, since two of them may be called the same.
func detailOf(w rollout.FieldError) string {
	at := otherPlace.FindStringSubmatch(w.Detail)
	if at == nil {
		return w.Detail
	}
	return strings.TrimSuffix(w.Detail, at[0]) + " at " + placeOf(at[1], nil)
}

func fieldProblem(w rollout.FieldError, values any) web.FieldProblem {
	return web.FieldProblem{Pointer: w.Pointer, Place: placeOf(w.Pointer, values), Detail: detailOf(w)}
}
