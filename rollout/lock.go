package rollout

import "time"

// Lock blocks promotes, weights, automation and deletion until it is cleared; never a rollback.
type Lock struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// LockCommand asks to block promotes, weights and deletion.
type LockCommand struct {
	Actor  Actor
	Reason string
}

// SetLock blocks promotes, weights, automation and deletion until it is cleared; rollbacks go on. Locking again
// replaces the reason.
func (e Environment) SetLock(cmd LockCommand, now time.Time) (Transition, error) {
	if err := e.deletedRefusal(); err != nil {
		return Transition{}, err
	}
	c := e.change(cmd.Actor, now)
	c.e.Lock = &Lock{Reason: cmd.Reason, By: cmd.Actor.String(), At: now}
	c.event(EventLockSet, 0, 0, map[string]any{"reason": cmd.Reason})
	return c.done(Answer{Changed: true}), nil
}

// ClearLock ends the lock; without one nothing changes.
func (e Environment) ClearLock(actor Actor, now time.Time) (Transition, error) {
	if e.Lock == nil {
		return Transition{After: e}, nil
	}
	c := e.change(actor, now)
	c.e.Lock = nil
	c.event(EventLockCleared, 0, 0, nil)
	return c.done(Answer{Changed: true}), nil
}

// locked is the refusal of what the lock blocks.
func (e Environment) locked() *Refusal {
	return e.refuse(EnvironmentLocked, "ask them, or clear it with DELETE /v1/environments/"+e.Name+"/lock",
		"%s locked the environment: %s", e.Lock.By, e.Lock.Reason)
}
