package cli

import (
	"context"

	"viridian/rollout/controller"
)

// duties is the work that only one process of a node name does at a time: to follow routes on the node, to work under
// leases, and to write state files.
type duties struct {
	follower                         *controller.Follower
	endWorker, endHints, endFollower func()
}

// takeUp begins the duties; they wait for the database.
func (r *replica) takeUp(parts *crew) *duties {
	follower, worker := controller.NewFollower(r.options()), controller.NewWorker(r.options())
	return &duties{
		follower:    follower,
		endFollower: parts.start("the follower", r.afterSchema(follower.Run)),
		endWorker:   parts.start("the worker", r.afterSchema(worker.Run)),
		endHints: parts.start("the listener for hints", r.afterSchema(func(ctx context.Context) error {
			return r.store.Listen(ctx, func(environment string) {
				if environment != "" { // where any may have changed, the poll finds out
					r.hub.Hint(environment)
				}
			})
		})),
	}
}

// layDown ends the duties and leaves the state folder, with files that say what is served, to another process. The
// node stays known: it is the other process's from its first sign of life.
func (r *replica) layDown(d *duties) error {
	d.end()
	ctx, cancel := context.WithTimeout(context.Background(), r.config.CallTimeout)
	defer cancel()
	if err := r.router.Seal(ctx); err != nil {
		return err
	}
	r.lock.release()
	r.lock = nil
	return nil
}

// resume takes the duties up again after another process has not. The state files are this one's again.
func (r *replica) resume(parts *crew) *duties {
	if r.lock == nil { // else it was never laid down, and who has the lock cannot get it a second time
		var err error
		if r.lock, err = lockState(r.config.StateDir, r.log); err != nil {
			r.log.Error("the state folder is not this process's any more", "error", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.config.CallTimeout)
	defer cancel()
	if err := r.router.Unseal(ctx); err != nil {
		r.log.Error("state files cannot be written", "error", err) // the receipts tell so too
	}
	return r.takeUp(parts)
}

// end ends all of the duties; a second call does nothing.
func (d *duties) end() {
	d.endWorker()
	d.endHints()
	d.endFollower()
}

// afterSchema holds a part back until the database is there.
func (r *replica) afterSchema(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-r.migrated:
			return run(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
