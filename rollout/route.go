package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Weights are shares of traffic in percent by generation number; they sum to 100, or are empty when nothing serves.
type Weights map[int]int

// Sum is the total of all shares.
func (w Weights) Sum() int {
	total := 0
	for _, share := range w {
		total += share
	}
	return total
}

// Carries says whether the generation has a share above 0.
func (w Weights) Carries(generation int) bool { return w[generation] > 0 }

// Numbers lists the generations with a share above 0, in order.
func (w Weights) Numbers() []int {
	var out []int
	for _, n := range slices.Sorted(maps.Keys(w)) {
		if w[n] > 0 {
			out = append(out, n)
		}
	}
	return out
}

// Route is what the load balancers of an environment should do now. Revision 0 has no weights: hosts answer 503.
type Route struct {
	Environment string
	Revision    int64
	Weights     Weights
	Live        int // generation number; 0 for none
	Previous    int // what a rollback without a target goes to; 0 for none
	// SpecVersion and Services are the part of the spec that a load balancer needs: hosts and health questions.
	SpecVersion int64
	Services    []RouteService
	// Drain is how long what is open on a generation that lost its weight may last.
	Drain Duration
}

// RouteService is a service with the hosts it answers to.
type RouteService struct {
	Service
	Hosts []string // never empty
}

// Hash is the content hash of weights and live generation, as lower-case hex. Shares of 0 do not count. Two nodes at
// one revision must have one hash. Its form never changes: nodes of two versions would take each other for edited.
func (r Route) Hash() string {
	var b strings.Builder
	fmt.Fprintf(&b, "live=%d", r.Live)
	for _, n := range r.Weights.Numbers() {
		fmt.Fprintf(&b, ";%d=%d", n, r.Weights[n])
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:16])
}
