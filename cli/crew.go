package cli

import (
	"context"
	"errors"
	"fmt"
)

// crew runs the parts of a process that live until they are told to end, each at its own time.
type crew struct {
	ctx    context.Context
	failed chan error // the first part that ended by itself
}

func newCrew(ctx context.Context) *crew {
	return &crew{ctx: context.WithoutCancel(ctx), failed: make(chan error, 1)}
}

// start runs a part. The function that it returns ends the part and waits for it. A part that returns before that has
// failed, whatever it returns.
func (c *crew) start(name string, run func(ctx context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("no reason given")
		}
		select {
		case c.failed <- fmt.Errorf("%s ended by itself: %w", name, err):
		default: // one failure ends the process; what follows from it is noise
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// served turns a server, which is ended by its own shutdown, into a part.
func served(serve func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := serve()
		if err == nil {
			<-ctx.Done()
		}
		return err
	}
}
