package controller

import (
	"context"
	"testing"
	"time"

	"viridian/rollout"
)

// A tenure that ends while a pass runs takes nothing along that the next one has asked for.
func TestLanes_AskedWhileAnotherEnds(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan context.Context), make(chan struct{})
	l := newLanes(func(ctx context.Context, _ string, _ *rollout.Environment) {
		began <- ctx
		<-goOn
	})
	first, end := context.WithCancel(t.Context())
	l.run(first, "shop", nil)
	<-began
	end()
	second, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.run(second, "shop", nil)
	l.run(first, "shop", nil) // too late: it asks for nothing
	close(goOn)
	select {
	case got := <-began:
		if got != second {
			t.Error("the second pass runs for who asked first")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("what was asked for by the second was dropped")
	}
	l.drain()
}
