package controller

import (
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/registry"
	"viridian/rollout"
	"viridian/router"
)

// Options are what the loops and use cases of one replica share.
type Options struct {
	Store      Store
	Hub        *Hub
	Clock      clockwork.Clock
	Random     func() float64 // 0 to 1, for jitter
	Failpoints *failpoint.Set
	Log        *slog.Logger

	// Local is this replica's own router, and Node its node there.
	Local router.Router
	Node  rollout.Node
	// Fleets are the routers whose nodes are not replicas, by name. Contacts tells how this process gets on with those.
	Fleets   map[string]Fleet
	Contacts *Contacts
	// Registries are the drivers by name.
	Registries map[string]registry.Registry

	// LeaseTTL is how long a lease lasts without renewal; it is renewed three times in that span, and trusted until
	// half a second, or a sixth of the span if that is less, before its end.
	LeaseTTL time.Duration
	// Poll is how often the database is asked for changes that no hint told of.
	Poll time.Duration
	// CallTimeout bounds one call to a router, a registry or the store.
	CallTimeout time.Duration
}

// Defaults for [Options], as the installation uses them.
const (
	DefaultLeaseTTL    = 3 * time.Second
	DefaultPoll        = time.Second
	DefaultCallTimeout = 5 * time.Second
)

// trustMargin is how long before its end a lease is no longer relied on.
func (o Options) trustMargin() time.Duration { return min(500*time.Millisecond, o.LeaseTTL/6) }
