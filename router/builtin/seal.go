package builtin

import (
	"context"
	"errors"
)

// Seal brings every state file up to date and then leaves the folder to another process: from its return on, what this
// router is told changes what it serves, and nothing on the disk. On an error, which names a file that could not be
// written, nothing is sealed. No other call may be under way.
func (r *Router) Seal(ctx context.Context) error {
	r.sealed.Store(true)
	var failed error
	for _, env := range r.snapshot() {
		if err := env.takeFile(ctx); err != nil { // a write that outlived its caller
			failed = errors.Join(failed, err)
			continue
		}
		failed = errors.Join(failed, r.writeFile(ctx, env))
		env.releaseFile()
	}
	if failed != nil {
		r.sealed.Store(false)
	}
	return failed
}

// Unseal takes the folder back, after the process that it was left to has ended, and writes every state file anew.
func (r *Router) Unseal(ctx context.Context) error {
	r.sealed.Store(false)
	var failed error
	for _, env := range r.snapshot() {
		env.mu.Lock()
		env.persistedState = nil // nobody knows what the other process did
		env.mu.Unlock()
		failed = errors.Join(failed, r.persist(ctx, env))
	}
	return failed
}
