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

// mark is what is written into Consul beside weights: of which route they are.
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

// parseMark reads a mark back; ok is false for what we did not write.
func parseMark(meta map[string]string) (m mark, ok bool) {
	revision, errR := strconv.ParseInt(meta[metaRevision], 10, 64)
	version, errV := strconv.ParseInt(meta[metaSpecVersion], 10, 64)
	live, errL := strconv.Atoi(meta[metaLive])
	previous, errP := strconv.Atoi(meta[metaPrevious])
	if errR != nil || errV != nil || errL != nil || errP != nil || min(revision, version, int64(live), int64(previous)) < 0 {
		return mark{}, false
	}
	return mark{Revision: revision, SpecVersion: version, Live: live, Previous: previous}, true
}

// held is what one place in Consul was found to do for a service of an environment, or for all of them.
type held struct {
	mark
	name    string
	weights rollout.Weights
	has     []int  // the generations that it could serve
	edited  string // how it differs from what we write; empty when it does not
}

// share is the part of the weights that the place can serve.
func (h held) share(weights rollout.Weights) rollout.Weights {
	out := rollout.Weights{}
	for _, n := range weights.Numbers() {
		if slices.Contains(h.has, n) {
			out[n] = weights[n]
		}
	}
	return out
}

// admits is the fence: whether the route may be written over what is held. done is true when that is so already.
func (h held) admits(route rollout.Route) (done bool, err error) {
	same := maps.Equal(h.weights, h.share(route.Weights)) && h.Live == route.Live
	switch {
	case h.Revision > route.Revision:
		return false, fmt.Errorf("%w: %s is at %d, and this is %d", router.ErrStale, h.name, h.Revision, route.Revision)
	case h.Revision < route.Revision || h.Revision == 0:
		return false, nil
	case !same:
		return false, fmt.Errorf("%w: %s has %s at revision %d", router.ErrDiverged, h.name, weightsText(h.weights), h.Revision)
	}
	return h.edited == "" && h.SpecVersion >= route.SpecVersion && h.Previous == route.Previous, nil
}

// refuses is the fence of what writes no route.
func (h held) refuses(fence router.Fence) error {
	if h.Revision > fence.Revision {
		return fmt.Errorf("%w: %s is at %d, and this is %d", router.ErrStale, h.name, h.Revision, fence.Revision)
	}
	return nil
}

// keeps says whether a generation must not be removed.
func (h held) keeps(generation int) error {
	if h.weights.Carries(generation) || h.Live == generation || h.Previous == generation {
		return fmt.Errorf("%w: by %s", router.ErrInUse, h.name)
	}
	return nil
}

// view is what several places do together.
type view struct {
	held
	fence    int64    // the highest revision of any, below which that one refuses a route
	edits    []string // what somebody changed by hand
	problems []string // those, and all else that is not as it should be
}

func (v *view) byHand(text string) {
	v.edits, v.problems = append(v.edits, text), append(v.problems, text)
}

// whole puts places together: the environment is at the lowest of their revisions. Where what carries traffic is not as
// we wrote it, the hash is another one than any route's. Damaged are edits of what is staged.
func whole(parts []held, damaged []string) view {
	v := view{}
	for i, p := range parts {
		if i == 0 || p.Revision < v.Revision {
			v.mark = p.mark
		}
		v.fence = max(v.fence, p.Revision)
	}
	v.weights = rollout.Weights{}
	for _, p := range parts {
		if p.edited != "" {
			v.byHand(p.edited)
		}
		if p.Revision > v.Revision {
			v.problems = append(v.problems, fmt.Sprintf("%s is at revision %d already", p.name, p.Revision))
			continue
		}
		for n, share := range p.weights {
			v.weights[n] = max(v.weights[n], share)
		}
	}
	for _, p := range parts {
		if p.Revision == v.Revision && p.edited == "" && (p.Live != v.Live || !maps.Equal(p.weights, p.share(v.weights))) {
			v.byHand(fmt.Sprintf("%s has %s", p.name, weightsText(p.weights)))
		}
	}
	v.edited = strings.Join(v.edits, "; ")
	for _, text := range damaged {
		v.byHand(text)
	}
	return v
}

// hash is the route's where everything is as a route says, and no route's where it was changed by hand.
func (h held) hash() string {
	hash := rollout.Route{Live: h.Live, Weights: h.weights}.Hash()
	if h.edited != "" {
		return hash + " changed"
	}
	return hash
}

// tell puts what is seen into an observation.
func (v view) tell(o *router.Observation) {
	o.Revision, o.SpecVersion, o.Hash = v.Revision, v.SpecVersion, v.hash()
	o.Error, o.Edits = strings.Join(v.problems, "; "), v.edits
	if len(v.weights) > 0 {
		o.Weights = v.weights
	}
	if v.fence > v.Revision {
		o.Fence = v.fence
	}
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
