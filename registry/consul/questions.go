package consul

import (
	"context"
	"time"

	"viridian/probe"
	"viridian/rollout"
)

// digestPause is how often an instance is asked over HTTP what it runs, and digestRetry how often until it has told.
const (
	digestPause = 5 * time.Second
	digestRetry = time.Second
)

// digestTimeout bounds one such question.
const digestTimeout = 3 * time.Second

// asked is an instance that is to tell what it runs.
type asked struct {
	rollout.Instance
	passing bool
}

// question is one that is asked again and again.
type question struct {
	end     context.CancelFunc
	passing bool
}

// ask has these instances asked over HTTP, where that is how they tell, and no others any more. What is said while an
// instance starts is not held against it: once it passes its checks it is asked anew. It must not be called concurrently.
func (d *digests) ask(ctx context.Context, these []asked) {
	if d.a.DigestPath == "" {
		return
	}
	wanted := map[string]bool{}
	for _, in := range these {
		at := target(in.Instance)
		wanted[at] = true
		if q, open := d.open[at]; open {
			if began := in.passing && !q.passing; !began || d.runs(at) {
				q.passing = in.passing
				continue
			}
			d.forget(at)
		}
		each, end := context.WithCancel(ctx)
		d.open[at] = &question{end: end, passing: in.passing}
		d.asking.Go(func() { d.repeat(each, in.Instance) })
	}
	for at := range d.open {
		if !wanted[at] {
			d.forget(at)
		}
	}
}

// wait waits until nobody is asked any more, which the end of the context of ask brings about.
func (d *digests) wait() { d.asking.Wait() }

// forget ends a question, with what was told.
func (d *digests) forget(at string) {
	d.open[at].end()
	delete(d.open, at)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.told, at)
}

// repeat asks an instance again and again until ctx ends.
func (d *digests) repeat(ctx context.Context, in rollout.Instance) {
	for {
		call, cancel := context.WithTimeout(ctx, digestTimeout)
		text, err := probe.Read(call, in.Address, in.Port, d.a.DigestPath)
		cancel()
		pause, ok := d.record(ctx, target(in), digestIn(text), err)
		if !ok {
			return
		}
		timer := d.clock.NewTimer(pause)
		select {
		case <-timer.Chan():
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
