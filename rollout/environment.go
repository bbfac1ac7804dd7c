package rollout

import (
	"time"
)

// Environment is the thing whose traffic is switched, with everything known of it: the aggregate that every decision
// is taken on. It is a value: commands do not change it, they answer with the [Transition] that would.
type Environment struct {
	Name        string
	Spec        Spec
	SpecVersion int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
	LastNumber  int // the highest generation number given out
	// LastPromotion is the highest promotion id given out; ids count up from 1 in each environment.
	LastPromotion int64
	Revision      int64 // of the last switch; goes on above every node's fence when the name is used again
	Weights       Weights
	Live          int
	Previous      int
	Lock          *Lock
	Hold          *Hold
	Mending       *Mending   // nil while there is nothing to remember of repairs
	Trouble       *Trouble   // what the registry has trouble with; nil for nothing
	DeletingAt    *time.Time // deletion was asked for; it ends when the last generation is retired
	DeletedAt     *time.Time
	Version       int64 // grows with every change that is recorded; given by the store

	Generations []Generation // not retired (or named by the command), by number
	Promotion   *Promotion   // the open one, or nil
	Switch      *Switch      // the one of Revision, or nil at revision 0 and on a recreated environment
	Nodes       []Node       // of the routers in the spec, removed ones left out
	Receipts    []Receipt    // the last of each node
	Stagings    []Staging
	Readings    []Reading

	Timing Timing
	// HeardSince is since when nodes can be heard: their records could not be written before. Zero is for ever.
	HeardSince time.Time
	// Required is the policy by router; see [Environment.RequiredOf] for those that are not in it.
	Required map[string]Required
	// Undivided are the routers that give all traffic to one generation, and take no shares.
	Undivided []string
	// Finders are the routers that find instances in Consul's catalog, and how.
	Finders map[string]Finder
	// Neighbours are the other environments, loaded where a spec is written.
	Neighbours []Neighbour
}

// Timing holds the installation's limits that decisions depend on.
type Timing struct {
	Silence   time.Duration // a node not heard of for this long is unreachable
	Freshness time.Duration // a health reading older than this is unknown
	Grace     time.Duration // lease TTL plus the slowest call: what a late worker may still do
}

// DefaultTiming is what an installation uses that says nothing else.
var DefaultTiming = Timing{Silence: 10 * time.Second, Freshness: 10 * time.Second, Grace: 8 * time.Second}

// Generation returns the generation of that number, if it is loaded.
func (e Environment) Generation(number int) (Generation, bool) {
	for _, g := range e.Generations {
		if g.Number == number {
			return g, true
		}
	}
	return Generation{}, false
}

// Route is what the load balancers should do now.
func (e Environment) Route() Route {
	r := Route{Environment: e.Name, Revision: e.Revision, Weights: e.Weights, Live: e.Live, Previous: e.Previous,
		SpecVersion: e.SpecVersion, Drain: e.Spec.Retention.Drain}
	for _, svc := range e.Spec.Services {
		r.Services = append(r.Services, RouteService{Service: svc, Hosts: e.Spec.EffectiveHosts(e.Name, svc)})
	}
	return r
}

// Receipt returns what the node was last seen doing, if that was in its present incarnation.
func (e Environment) Receipt(n Node) (Receipt, bool) {
	for _, r := range e.Receipts {
		if r.Router == n.Router && r.Node == n.Name && r.Incarnation == n.Incarnation {
			return r, true
		}
	}
	return Receipt{}, false
}

// ConfirmedAt is when the node was last known to do what its receipt says: a node that is heard of and sends no new
// receipt was looked at, and nothing had changed. A receipt with an error is what was seen before the error.
func (e Environment) ConfirmedAt(n Node) (at time.Time, ok bool) {
	r, ok := e.Receipt(n)
	if ok && n.SeenAt.After(r.At) && (r.Error == "" || n.Router == Builtin) {
		return n.SeenAt, true
	}
	return r.At, ok
}

// Staged says whether the node's present incarnation knows the groups of the generation.
func (e Environment) Staged(n Node, generation int) bool {
	_, ok := e.staging(n, generation)
	return ok
}

// staging is what this run of the node has staged of the generation.
func (e Environment) staging(n Node, generation int) (Staging, bool) {
	for _, s := range e.Stagings {
		if s.Generation == generation && s.Router == n.Router && s.Node == n.Name && s.Incarnation == n.Incarnation {
			return s, true
		}
	}
	return Staging{}, false
}

// ReceiptState holds a node's receipt against the route.
func (e Environment) ReceiptState(n Node, now time.Time) ReceiptState {
	r, ok := e.Receipt(n)
	switch {
	case e.silent(n, now):
		return Unreachable
	case !ok || r.Revision < e.Revision:
		return Behind
	case r.Revision > e.Revision:
		return Ahead
	case r.Hash != e.Route().Hash():
		return Drifted
	}
	return InSync
}

// Reading returns the health of one service of a generation; ok is false when nothing is known or it is too old.
func (e Environment) Reading(generation int, service string, now time.Time) (Reading, bool) {
	for _, r := range e.Readings {
		if r.Generation == generation && r.Service == service {
			return r, now.Sub(r.At) <= e.Timing.Freshness
		}
	}
	return Reading{}, false
}

func (e Environment) services(g Generation) []string {
	var out []string
	for _, svc := range e.Spec.Services {
		if g.Sizes[svc.Name] > 0 {
			out = append(out, svc.Name)
		}
	}
	return out
}

// target finds the generation that a command names; the store loads it even when it is retired.
func (e Environment) target(number int) (Generation, error) {
	if err := e.deletedRefusal(); err != nil {
		return Generation{}, err
	}
	g, ok := e.Generation(number)
	if !ok {
		return Generation{}, e.refuse(NotFound, "list them with GET /v1/environments/"+e.Name+"/generations",
			"environment %s has no generation %d", e.Name, number)
	}
	return g, nil
}

func (e Environment) deletedRefusal() error {
	if e.DeletingAt != nil {
		return e.refuse(Conflict, "create it anew when its last generation is retired", "environment %s is being deleted", e.Name)
	}
	return nil
}
