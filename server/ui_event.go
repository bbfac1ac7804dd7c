package server

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/web"
)

// eventView is an event for people: as a sentence where its kind has one in [sentences], with what else is recorded.
func eventView(e rollout.Event) web.Event {
	out := web.Event{ID: e.ID, Environment: e.Environment, Kind: e.Kind, Actor: e.Actor, At: e.At, Revision: e.Revision, Generation: e.Generation, Hash: e.Hash}
	t := telling{event: e, said: map[string]bool{}, made: map[string]string{}}
	if tell, ok := sentences[e.Kind]; ok {
		out.Sentence = tell(&t)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Data)) {
		if said := out.Sentence != "" && t.said[name]; said {
			continue
		}
		if text := factText(e.Data[name]); text != "" {
			out.Facts = append(out.Facts, web.Fact{Name: strings.ReplaceAll(name, "_", " "), Value: text})
		}
	}
	return out
}

// telling is an event while its sentence is made. What the sentence has taken is not listed beside it again.
type telling struct {
	event rollout.Event
	said  map[string]bool
	made  map[string]string // values that are told in other words
}

// text is what is recorded under the name, for people; empty for nothing.
func (t *telling) text(name string) string {
	switch name {
	case "generation":
		return factText(float64(t.event.Generation))
	case "revision":
		return factText(float64(t.event.Revision))
	}
	t.said[name] = true
	if made, ok := t.made[name]; ok {
		return made
	}
	return factText(t.event.Data[name])
}

// put has what is recorded under the name told in these words.
func (t *telling) put(name, words string) { t.made[name] = words }

// slot is where a pattern has the value of that name.
var slot = regexp.MustCompile(`\{[a-z_]+\}`)

// fill puts what is recorded into a pattern: the value of a name where {name} stands. A part in brackets is left out
// when a value in it is missing; when one outside of them is, there is no sentence.
func (t *telling) fill(pattern string) string {
	var out strings.Builder
	for rest := pattern; rest != ""; {
		always, optional, _ := strings.Cut(rest, "[")
		text, whole := t.filled(always)
		if !whole {
			return ""
		}
		out.WriteString(text)
		optional, rest, _ = strings.Cut(optional, "]")
		if text, whole = t.filled(optional); whole {
			out.WriteString(text)
		}
	}
	return out.String()
}

func (t *telling) filled(pattern string) (text string, whole bool) {
	whole = true
	text = slot.ReplaceAllStringFunc(pattern, func(name string) string {
		value := t.text(strings.Trim(name, "{}"))
		whole = whole && value != ""
		return value
	})
	return text, whole
}

// shares puts weights into words, and says how many generations have some.
func (t *telling) shares(name string) (carriers int) {
	weights, _ := t.event.Data[name].(map[string]any)
	numbers := slices.SortedFunc(maps.Keys(weights), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	var out []string
	for _, n := range numbers {
		if share, ok := weights[n].(float64); ok && share > 0 {
			out = append(out, number64(share)+" % to generation "+n)
		}
	}
	t.put(name, strings.Join(out, ", "))
	if len(out) == 0 {
		t.put(name, "no traffic to any generation")
	}
	return len(out)
}

// factText writes a value of an event's data for people; empty for what says nothing.
func factText(v any) string {
	switch v := v.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.UTC().Format("2006-01-02 15:04:05") + " UTC"
		}
		return v
	case bool:
		if v {
			return "yes"
		}
	case float64:
		if v != 0 {
			return number64(v)
		}
	case []any:
		var parts []string
		for _, item := range v {
			parts = append(parts, factText(item))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			text := factText(v[name])
			if n, isNumber := v[name].(float64); isNumber {
				text = number64(n) // a share of 0 is one
			}
			parts = append(parts, name+": "+text)
		}
		return strings.Join(parts, ", ")
	}
	return ""
}

func number64(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
