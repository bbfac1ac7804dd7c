package failpoint

import "slices"

// Name is the name of one failpoint. Only the constants below exist: a spec with any other name is refused.
type Name string

// Commands, hit inside the transaction (decided) and right after its commit (committed).
const (
	// PromoteDecided is hit when a promotion is decided and written, before its transaction commits.
	PromoteDecided Name = "promote.decided"
	// PromoteCommitted is hit when a promotion is committed and nothing has been told to a router yet.
	PromoteCommitted Name = "promote.committed"
	// RollbackDecided is hit when a rollback is decided and written, before its transaction commits.
	RollbackDecided Name = "rollback.decided"
	// RollbackCommitted is hit when a rollback is committed and nothing has been told to a router yet.
	RollbackCommitted Name = "rollback.committed"
	// RetireDecided is hit when a retirement is decided and written, before its transaction commits.
	RetireDecided Name = "retire.decided"
	// RetireCommitted is hit when a retirement is committed and nothing has been removed yet.
	RetireCommitted Name = "retire.committed"
)

// Work of the controller on routers and registries: before the call, after it, and after its outcome is recorded.
const (
	// StageBefore is hit before a generation is staged on a router.
	StageBefore Name = "stage.before"
	// StageActed is hit when the router has staged a generation and the store does not know it yet.
	StageActed Name = "stage.acted"
	// StageRecorded is hit when the staging is in the store.
	StageRecorded Name = "stage.recorded"
	// RemoveBefore is hit before a retiring generation is removed from a router.
	RemoveBefore Name = "remove.before"
	// RemoveActed is hit when the router has removed a generation and the store does not know it yet.
	RemoveActed Name = "remove.acted"
	// RemoveRecorded is hit when the removal is in the store.
	RemoveRecorded Name = "remove.recorded"
	// RegisterBefore is hit before a generation is announced in a registry.
	RegisterBefore Name = "register.before"
	// RegisterActed is hit when the registry knows a generation and the store does not know that yet.
	RegisterActed Name = "register.acted"
	// RegisterRecorded is hit when the registration is in the store.
	RegisterRecorded Name = "register.recorded"
	// DeregisterBefore is hit before a retiring generation is taken out of a registry.
	DeregisterBefore Name = "deregister.before"
	// DeregisterActed is hit when the registry has forgotten a generation and the store does not know that yet.
	DeregisterActed Name = "deregister.acted"
	// DeregisterRecorded is hit when the deregistration is in the store.
	DeregisterRecorded Name = "deregister.recorded"
)

// Application of a route on one node, in the order of the durable fence.
const (
	// ApplyBefore is hit before a node is told a route.
	ApplyBefore Name = "apply.before"
	// ApplySwapped is hit when the new table serves and the state file still names the old route.
	ApplySwapped Name = "apply.swapped"
	// StateFileTemp is hit when the new state file is written beside the old one and not yet renamed over it.
	StateFileTemp Name = "statefile.temp"
	// ApplyPersisted is hit when the state file names the new route and no receipt is recorded.
	ApplyPersisted Name = "apply.persisted"
	// ApplyRecorded is hit when the receipt is in the store.
	ApplyRecorded Name = "apply.recorded"
)

// The loop's own transactions.
const (
	// SettleDecided is hit when the moves that recorded facts allow are written, before their transaction commits.
	SettleDecided Name = "settle.decided"
	// SettleCommitted is hit when those moves are committed.
	SettleCommitted Name = "settle.committed"
	// LeaseClaimed is hit when an environment's lease is won, before any work is done under it.
	LeaseClaimed Name = "lease.claimed"
)

var names = []Name{
	PromoteDecided, PromoteCommitted, RollbackDecided, RollbackCommitted, RetireDecided, RetireCommitted,
	StageBefore, StageActed, StageRecorded, RemoveBefore, RemoveActed, RemoveRecorded,
	RegisterBefore, RegisterActed, RegisterRecorded, DeregisterBefore, DeregisterActed, DeregisterRecorded,
	ApplyBefore, ApplySwapped, StateFileTemp, ApplyPersisted, ApplyRecorded,
	SettleDecided, SettleCommitted, LeaseClaimed,
}

// Names lists every failpoint there is, in the order of names.go. The slice is the caller's own.
func Names() []Name { return slices.Clone(names) }
