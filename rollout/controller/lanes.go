package controller

import (
	"context"
	"sync"

	"viridian/rollout"
)

// lanes runs one pass at a time for each environment, and those of different environments side by side. What is
// asked while a pass runs is done by one further pass after it.
type lanes struct {
	pass func(ctx context.Context, name string, e *rollout.Environment)

	mu      sync.Mutex
	wait    sync.WaitGroup
	running map[string]*lane
	drained bool // no pass begins any more
}

type lane struct {
	again bool
	ctx   context.Context // of who asked last: it may outlive that of the pass that runs
	next  *rollout.Environment
}

func newLanes(pass func(ctx context.Context, name string, e *rollout.Environment)) *lanes {
	return &lanes{pass: pass, running: map[string]*lane{}}
}

// run asks for a pass over the environment; e, when it is known, saves loading it. It does not block.
func (l *lanes) run(ctx context.Context, name string, e *rollout.Environment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drained || ctx.Err() != nil {
		return
	}
	if busy := l.running[name]; busy != nil {
		busy.again, busy.ctx, busy.next = true, ctx, e
		return
	}
	own := &lane{}
	l.running[name] = own
	l.wait.Go(func() {
		for {
			l.pass(ctx, name, e)
			l.mu.Lock()
			if !own.again || own.ctx.Err() != nil {
				delete(l.running, name)
				l.mu.Unlock()
				return
			}
			ctx, e, own.again, own.next = own.ctx, own.next, false, nil
			l.mu.Unlock()
		}
	})
}

// drain waits until no pass runs; call it when ctx has ended.
func (l *lanes) drain() {
	l.mu.Lock()
	l.drained = true
	l.mu.Unlock()
	l.wait.Wait()
}
