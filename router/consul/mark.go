package consul

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
	"viridian/router"
)

// mark is what an entry in Consul says of the route that was written into it.
type mark struct {
	Revision    int64
	SpecVersion int64
	Live        int
	Previous    int
}

// The keys of a mark in the meta of a config entry.
const (
	metaRevision    = "viridian-revision"
	metaSpecVersion = "viridian-spec-version"
	metaLive        = "viridian-live"
	metaPrevious    = "viridian-previous"
)

func markOf(r rollout.Route) mark {
	return mark{Revision: r.Revision, SpecVersion: r.SpecVersion, Live: r.Live, Previous: r.Previous}
}

func (m mark) meta(environment string) map[string]string {
	return map[string]string{rollout.MetaEnvironment: environment, metaRevision: strconv.FormatInt(m.Revision, 10),
		metaSpecVersion: strconv.FormatInt(m.SpecVersion, 10), metaLive: strconv.Itoa(m.Live),
		metaPrevious: strconv.Itoa(m.Previous)}
}

// parseMark reads a mark back. What somebody wrote by hand has none, or a broken one, and counts as revision 0.
func parseMark(meta map[string]string) mark {
	revision, errR := strconv.ParseInt(meta[metaRevision], 10, 64)
	version, errV := strconv.ParseInt(meta[metaSpecVersion], 10, 64)
	live, errL := strconv.Atoi(meta[metaLive])
	previous, errP := strconv.Atoi(meta[metaPrevious])
	if errR != nil || errV != nil || errL != nil || errP != nil {
		return mark{}
	}
	return mark{Revision: revision, SpecVersion: version, Live: live, Previous: previous}
}

// held is what one service of an environment was found to do.
type held struct {
	mark
	weights rollout.Weights
}

func (h held) hash() string {
	return rollout.Route{Live: h.Live, Weights: h.weights}.Hash()
}

// admits is the fence: whether the route may be written over what is held. done is true when that is so already.
func (h held) admits(route rollout.Route) (done bool, err error) {
	switch {
	case h.Revision > route.Revision:
		return false, fmt.Errorf("%w: %d, and this is %d", router.ErrStale, h.Revision, route.Revision)
	case h.Revision < route.Revision || h.Revision == 0:
		return false, nil
	case h.hash() != route.Hash():
		return false, fmt.Errorf("%w: %s at revision %d", router.ErrDiverged, weightsText(h.weights), h.Revision)
	}
	return h.SpecVersion >= route.SpecVersion && h.Previous == route.Previous, nil
}

func weightsText(w rollout.Weights) string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(w)) {
		parts = append(parts, fmt.Sprintf("generation %d: %d", n, w[n]))
	}
	if len(parts) == 0 {
		return "no weights"
	}
	return strings.Join(parts, ", ")
}

// subset is the name of a generation's subset and tag.
func subset(generation int) string { return "g" + strconv.Itoa(generation) }

// generationOf reads the number from the name of a subset; ok is false for any other name.
func generationOf(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "g")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && subset(n) == name
}
