package consul

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
)

// markPrefix begins the tag that carries a query's mark. It is a tag that instances must not have, so that it says
// something to us and nothing to Consul.
const markPrefix = "!viridian:"

// queryMark is what is kept in a query beside what it names.
type queryMark struct {
	mark
	staged map[int]stagedGroup // the known generations
}

// stagedGroup is a known generation in a query: how many services have it, and where the instances of this one are.
type stagedGroup struct {
	groups int
	source source
}

func (m queryMark) numbers() []int { return slices.Sorted(maps.Keys(m.staged)) }

func (m queryMark) sources() map[int]source {
	out := map[int]source{}
	for n, group := range m.staged {
		out[n] = group.source
	}
	return out
}

// tag is the mark as a text. Of what Viridian registered the source goes without saying.
func (m queryMark) tag() string {
	var staged []string
	for _, n := range m.numbers() {
		group := m.staged[n]
		words := []string{strconv.Itoa(n), strconv.Itoa(group.groups)}
		if group.source.adopted {
			words = append(words, escape(group.source.service), escape(group.source.filter))
		}
		staged = append(staged, strings.Join(words, "*"))
	}
	return markPrefix + strings.Join([]string{strconv.FormatInt(m.Revision, 10), strconv.FormatInt(m.SpecVersion, 10),
		strconv.Itoa(m.Live), strconv.Itoa(m.Previous), strings.Join(staged, "+")}, ":")
}

// escape leaves letters, digits and - _ . ~ as they are, and none of the signs that a mark is divided by.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// parseQueryMark reads the mark among the tags of a query of the service by that name; ok is false when there is none
// that we wrote.
func parseQueryMark(environment, name string, tags []string) (m queryMark, ok bool) {
	i := slices.IndexFunc(tags, func(tag string) bool { return strings.HasPrefix(tag, markPrefix) })
	if i < 0 {
		return m, false
	}
	fields := strings.Split(strings.TrimPrefix(tags[i], markPrefix), ":")
	if len(fields) != 5 {
		return m, false
	}
	m.staged = map[int]stagedGroup{}
	m.mark, ok = parseMark(map[string]string{metaRevision: fields[0], metaSpecVersion: fields[1], metaLive: fields[2], metaPrevious: fields[3]})
	for text := range strings.SplitSeq(fields[4], "+") {
		words := strings.Split(text, "*")
		n, err := strconv.Atoi(words[0])
		if err != nil || n < 1 {
			continue
		}
		group := stagedGroup{source: sourceOf(environment, name, rollout.Generation{Number: n}, "")}
		if len(words) > 1 {
			group.groups, _ = strconv.Atoi(words[1])
		}
		if len(words) == 4 {
			service, _ := url.QueryUnescape(words[2])
			filter, _ := url.QueryUnescape(words[3])
			group.source = source{service, filter, true}
		}
		m.staged[n] = group
	}
	return m, ok && m.tag() == tags[i]
}
