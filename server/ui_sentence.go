package server

import (
	"viridian/audit"
	"viridian/rollout"
)

// sentences tells each kind of event, as [telling.fill] reads its pattern. A kind without one is shown as it is recorded.
var sentences = map[string]func(*telling) string{
	rollout.EventEnvironmentCreated: says("The environment was created, with version {spec_version} of its settings"),
	rollout.EventEnvironmentUpdated: says("The settings were changed to version {spec_version}[: {reason}]"),
	rollout.EventEnvironmentDeleted: environmentDeleted,

	rollout.EventSwitchCommitted:  switchCommitted,
	rollout.EventSwitchApplied:    switchApplied,
	rollout.EventSwitchDrained:    says("Switch {revision} is drained[: nothing is open at generation {generation} any more]"),
	rollout.EventSwitchSuperseded: says("Switch {revision} was overtaken by a newer one before it was applied"),

	rollout.EventRouteDrifted: routeDrifted,
	rollout.EventRouteAhead:   routeAhead,
	rollout.EventRecoveryHeld: says("Nodes are ahead of the database, at revision {found}, and nothing is done about it: {reason}"),

	rollout.EventPromotionStarted: promotionStarted,
	rollout.EventPromotionPaused:  says("The promotion of generation {generation} is paused[: {reason}]"),
	rollout.EventPromotionResumed: says("The promotion of generation {generation} goes on[: {reason}]"),
	rollout.EventPromotionEnded:   promotionEnded,
	rollout.EventPromotionWaiting: says("Generation {generation} waits to be promoted: {reason}", "code"),

	rollout.EventLockSet:            says("The environment was locked[: {reason}]"),
	rollout.EventLockCleared:        says("The environment was unlocked"),
	rollout.EventAutomationHeld:     says("Automation is held[: {reason}]"),
	rollout.EventAutomationReleased: says("Automation was released"),
	rollout.EventRetentionChanged:   says("Generation {generation} is kept until {keep_until}"),

	generationKind(rollout.Registered): generationRegistered,
	generationKind(rollout.Validating): generationValidating,
	generationKind(rollout.Ready):      says("Generation {generation} is ready to be promoted[: {reason}]", "from"),
	generationKind(rollout.Shifting):   says("Generation {generation} takes a part of the traffic[: {reason}]", "from"),
	generationKind(rollout.Live):       generationLive,
	generationKind(rollout.Standby):    says("Generation {generation} is kept warm for a rollback[: {reason}]", "from"),
	generationKind(rollout.Failed):     says("Generation {generation} failed[: {reason}]", "from"),
	generationKind(rollout.Rejected):   says("Generation {generation} was rejected[: {reason}]", "from"),
	generationKind(rollout.Retiring):   says("Generation {generation} is being retired[: {reason}]", "from"),
	generationKind(rollout.Retired):    says("Generation {generation} is retired, and taken out everywhere[: {reason}]", "from"),

	rollout.EventGenerationWaiting: generationWaiting,
	rollout.EventGenerationPlaced:  says("Generation {generation} has its place on the load balancers now"),
	rollout.EventGenerationAdopted: says("Generation {generation} has taken over its instances"),
	rollout.EventGenerationDrifted: says("Generation {generation} is not what was registered, in service {service}[: {detail}]"),
	rollout.EventGenerationAligned: says("Generation {generation} is what was registered again, in service {service}"),
	rollout.EventGenerationMembers: says("Generation {generation} has {size} instances of service {service} now"),

	rollout.EventRegistryTroubled:  says("Registry {registry} cannot be used[: {detail}]"),
	rollout.EventRegistryRecovered: says("Registry {registry} can be used again[; it could not since {since}]"),

	rollout.EventNodeRemoved:    says("Node {node} of {router} was taken out of the fleet"),
	rollout.EventTokenCreated:   tokenCreated,
	rollout.EventTokenDeleted:   says("Token {name} was deleted"),
	rollout.EventSessionStarted: says("A browser was signed in[ from {address}]"),
	rollout.EventSessionEnded:   says("A browser was signed out"),
	audit.Pruned:                says("The {events} oldest entries were deleted, up to number {event} of {at}"),
}

// generationKind is the kind of event that tells a generation's move to a state.
func generationKind(to rollout.GenerationState) string { return "generation." + string(to) }

// says tells what a pattern does. The names behind it are left out: they say nothing more to people.
func says(pattern string, leftOut ...string) func(*telling) string {
	return func(t *telling) string {
		for _, name := range leftOut {
			t.text(name)
		}
		return t.fill(pattern)
	}
}

func environmentDeleted(t *telling) string {
	switch {
	case t.text("finished") != "":
		return "The environment is gone: nothing of it is left"
	case t.text("force") != "":
		return t.fill("The environment is being deleted with all that serves[: {reason}]")
	}
	return t.fill("The environment is being deleted[: {reason}]")
}

func switchCommitted(t *telling) string {
	from, to, whole := t.text("from"), t.text("to"), t.shares("weights") == 1
	t.said["weights"] = whole // one generation has everything then
	switch kind := rollout.SwitchKind(t.text("kind")); {
	case kind == rollout.SwitchRollback:
		return t.fill("Switch {revision} rolls back[ from generation {from}] to generation {to}[: {reason}]")
	case kind == rollout.SwitchAbort:
		return t.fill("Switch {revision} gives the traffic of generation {from} back to generation {to}[: {reason}]")
	case kind == rollout.SwitchHeal:
		return t.fill("Switch {revision} repeats the route, {weights}[: {reason}]")
	case kind == rollout.SwitchRecover:
		return t.fill("Switch {revision} puts the route above what nodes know, {weights}[: {reason}]")
	case kind == rollout.SwitchPromote && whole && from != to:
		return t.fill("Switch {revision} moves the traffic[ from generation {from}] to generation {to}[: {reason}]")
	}
	return t.fill("Switch {revision} gives {weights}[: {reason}]")
}

func switchApplied(t *telling) string {
	if t.text("degraded") != "" {
		return t.fill("Switch {revision} is applied, but not every node has it")
	}
	return t.fill("Switch {revision} is applied: every node does what it says")
}

func routeDrifted(t *telling) string {
	if _, moved := t.event.Data["found"]; !moved {
		return t.fill("Node {node} of {router} was changed by hand[: {edits}]")
	}
	t.shares("found")
	t.shares("expected")
	return t.fill("Node {node} of {router} gave {found}, where the route says {expected}")
}

func routeAhead(t *telling) string {
	if found, _ := t.event.Data["found"].(float64); int64(found) > t.event.Revision {
		return t.fill("Node {node} of {router} is ahead of the database: it was at revision {found}[, the database at {revision}]")
	}
	return t.fill("Node {node} of {router} is ahead of the database")
}

func promotionStarted(t *telling) string {
	if t.text("paused") != "" {
		return t.fill("The promotion of generation {generation}[ in the place of {from}] has begun, and is paused[: {reason}]")
	}
	return t.fill("The promotion of generation {generation}[ in the place of {from}] has begun[: {reason}]")
}

// outcomes say how promotions end.
var outcomes = map[string]string{string(rollout.PromotionSucceeded): "succeeded", string(rollout.PromotionAborted): "was aborted",
	string(rollout.PromotionRolledBack): "was rolled back", string(rollout.PromotionSuperseded): "gave way to another"}

func promotionEnded(t *telling) string {
	outcome, known := outcomes[t.text("outcome")]
	if !known {
		return ""
	}
	return t.fill("The promotion of generation {generation} " + outcome + "[: {reason}]")
}

func generationRegistered(t *telling) string {
	if t.text("promote") != "" {
		return t.fill("Generation {generation} was registered as {colour}, version {version}, to be promoted when it is ready")
	}
	return t.fill("Generation {generation} was registered as {colour}, version {version}")
}

func generationValidating(t *telling) string {
	if t.text("from") == string(rollout.Registered) {
		return t.fill("Generation {generation} is being validated[: {reason}]")
	}
	return t.fill("Generation {generation} is being validated again[: {reason}]")
}

func generationLive(t *telling) string {
	if t.text("from") == string(rollout.Standby) {
		return t.fill("Generation {generation} is live again[: {reason}]")
	}
	return t.fill("Generation {generation} is live[: {reason}]")
}

func generationWaiting(t *telling) string {
	switch t.text("code") {
	case rollout.NoSlot:
		return t.fill("Generation {generation} waits for a place on a load balancer")
	case rollout.Adopting:
		return t.fill("Generation {generation} waits for the instances that it takes over[: {detail}]")
	}
	return ""
}

func tokenCreated(t *telling) string {
	if t.text("environments") == "*" {
		t.put("environments", "all environments")
	}
	return t.fill("Token {name} was made: {role} of {environments}[, until {expires_at}]")
}
