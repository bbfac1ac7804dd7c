package rollout

import "time"

// Event is one entry of the audit log. The store numbers it and chains it to the one before it in its environment.
type Event struct {
	ID          int64
	Environment string // empty for what belongs to none, such as tokens
	Kind        string // dotted: generation.ready, switch.applied
	Actor       string
	At          time.Time
	Revision    int64 // 0 for none
	Generation  int   // 0 for none
	Data        map[string]any
	// Raw is Data as the store keeps and hashes it; filled on reading.
	Raw      []byte
	PrevHash string
	Hash     string
}

// The kinds of event this package writes. A generation's moves are "generation." plus the state it moved to.
const (
	EventEnvironmentCreated = "environment.created"
	EventEnvironmentUpdated = "environment.updated"
	EventEnvironmentDeleted = "environment.deleted"
	EventSwitchCommitted    = "switch.committed"
	EventSwitchApplied      = "switch.applied"
	EventSwitchDrained      = "switch.drained"
	EventSwitchSuperseded   = "switch.superseded"
	EventRouteDrifted       = "route.drifted"       // a node does something else than the route says
	EventRouteAhead         = "route.ahead"         // a node is of a time that the database does not know
	EventRecoveryHeld       = "route.recovery_held" // nothing is done about that, because nothing healthy is known
	EventPromotionStarted   = "promotion.started"
	EventPromotionPaused    = "promotion.paused"
	EventPromotionResumed   = "promotion.resumed"
	EventPromotionEnded     = "promotion.ended"
	EventLockSet            = "lock.set"
	EventLockCleared        = "lock.cleared"
	EventAutomationHeld     = "automation.held"
	EventAutomationReleased = "automation.released"
	EventRetentionChanged   = "retention.changed"
	EventPromotionWaiting   = "promotion.waiting"
	EventGenerationWaiting  = "generation.waiting" // a node has no place for it
	EventGenerationPlaced   = "generation.placed"  // and now one has
	EventRegistryTroubled   = "registry.troubled"  // it cannot be read or written
	EventRegistryRecovered  = "registry.recovered" // and now it can
	EventGenerationAdopted  = "generation.adopted" // the instances that it takes over are set
	EventGenerationDrifted  = "generation.drifted" // its instances are not those, or not what, was registered
	EventGenerationAligned  = "generation.aligned" // and now they are again
	EventGenerationMembers  = "generation.members" // instances that it follows have come or gone
	EventNodeRemoved        = "node.removed"
	EventTokenCreated       = "token.created"
	EventTokenDeleted       = "token.deleted"
	EventSessionStarted     = "session.started"
	EventSessionEnded       = "session.ended"
)
