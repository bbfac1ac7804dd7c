package controller

import (
	"slices"
	"sync"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// Fleet is a router whose nodes are processes of their own, such as HAProxies, as this replica is configured to drive
// it. Every replica is configured alike; what is done on a node is done by the holder of the environment's lease.
type Fleet struct {
	Driver   string // its name in the configuration
	Required rollout.Required
	Grade    rollout.Grade     // the weakest of its nodes'
	Nodes    map[string]Remote // by name
	// Undivided says that it gives all traffic to one generation, and takes no shares.
	Undivided bool
	// Finds says how it finds instances in Consul's catalog; empty for one that is told where they are.
	Finds rollout.Finder
}

// Remote is a node that is not this process.
type Remote interface {
	router.Router
	router.Pulser
}

// Routers lists the names of the routers that a spec may name here.
func (o Options) Routers() []string {
	names := []string{rollout.Builtin}
	for name := range o.Fleets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tick is how often a node that is not this process is looked at, so that what befalls it is noticed within a second.
func (o Options) tick() time.Duration { return min(o.Poll/2, 500*time.Millisecond) }

// nodeKey names one node of one router.
type nodeKey struct{ router, name string }

// Contact is how this process last got on with a node of a fleet.
type Contact struct {
	Incarnation string    // of the last answer; empty when there was none yet
	At          time.Time // of the last answer
	Error       string    // why it did not answer the last time it was asked; empty when it did
}

// Contacts keeps the last contact with every node of every fleet. The loops write it, and the API shows it.
type Contacts struct {
	mu    sync.Mutex
	known map[nodeKey]Contact
}

// NewContacts knows of no contact yet.
func NewContacts() *Contacts { return &Contacts{known: map[nodeKey]Contact{}} }

// Of is the last contact with the node; ok is false before it was first asked.
func (c *Contacts) Of(router, node string) (contact Contact, ok bool) {
	if c == nil { // where there are no fleets
		return contact, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	contact, ok = c.known[nodeKey{router, node}]
	return contact, ok
}

// answered notes that a node is there, and says whether that is news: it was away, or is another incarnation.
func (c *Contacts) answered(key nodeKey, incarnation string, at time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.known[key]
	c.known[key] = Contact{Incarnation: incarnation, At: at}
	return old.Incarnation != incarnation || old.Error != ""
}

// failed notes why a node did not answer.
func (c *Contacts) failed(key nodeKey, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	contact := c.known[key]
	contact.Error = err.Error()
	c.known[key] = contact
}

// answeredSince lists the nodes whose last answer is not older than that.
func (c *Contacts) answeredSince(at time.Time) []rollout.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []rollout.Node
	for key, contact := range c.known {
		if contact.Error == "" && !contact.At.Before(at) {
			out = append(out, rollout.Node{Router: key.router, Name: key.name, Incarnation: contact.Incarnation})
		}
	}
	return out
}
