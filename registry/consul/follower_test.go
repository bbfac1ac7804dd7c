package consul_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"viridian/registry"
	"viridian/registry/consul"
	"viridian/rollout"
)

// follower watches a generation and, as the controller does, takes the members that are reported and watches anew.
type follower struct {
	t *testing.T

	mu       sync.Mutex
	group    rollout.Group
	reading  rollout.Reading
	reports  int
	changes  int
	trouble  string
	smallest int
	largest  int
}

func follow(t *testing.T, r *consul.Registry, g rollout.Generation) *follower {
	t.Helper()
	size := len(g.Groups[0].Instances)
	f := &follower{t: t, group: g.Groups[0], smallest: size, largest: size}
	spec := rollout.Spec{Registry: "consul", Services: []rollout.Service{{Name: "web"}}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			each, end := context.WithCancel(ctx)
			g.Groups = []rollout.Group{f.present()}
			err := r.Watch(each, spec, g, func(seen registry.Seen) {
				if f.take(seen) {
					end()
				}
			})
			end()
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Watch returned %v", err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return f
}

func (f *follower) present() rollout.Group {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.group
}

// take holds a report against the contract, and says whether there are other members.
func (f *follower) take(seen registry.Seen) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = ""
	if seen.Trouble != nil {
		f.trouble = seen.Trouble.Error()
	}
	if len(seen.Readings) > 0 {
		f.reading, f.reports = seen.Readings[0], f.reports+1
		if f.reading.Total != len(f.group.Instances) {
			f.t.Errorf("a reading of %d instances, while %d are watched", f.reading.Total, len(f.group.Instances))
		}
	}
	if seen.Members == nil {
		return false
	}
	now := seen.Members[0]
	if len(seen.Members) != 1 || now.Service != "web" || now.Consul == nil || len(now.Instances) == 0 || len(seen.Readings) == 0 {
		f.t.Errorf("members as %+v", seen)
		return false
	}
	ids, was, is := map[string]bool{}, shapes(f.group), shapes(now)
	for _, in := range now.Instances {
		if !rollout.ValidInstanceID(in.ID) || ids[in.ID] || in.Meta["consul-node"] == "" || in.Meta["consul-service-id"] == "" {
			f.t.Errorf("a member as %+v among %v", in, is)
		}
		ids[in.ID] = true
	}
	if slices.Equal(was, is) {
		f.t.Errorf("the members are reported that are watched: %v", is)
	}
	f.group, f.changes = now, f.changes+1
	f.smallest, f.largest = min(f.smallest, len(is)), max(f.largest, len(is))
	return true
}

// shapes are the members of a group as texts, in order.
func shapes(group rollout.Group) []string {
	var out []string
	for _, in := range group.Instances {
		out = append(out, fmt.Sprintf("%s:%d", in.ID, in.Port))
	}
	slices.Sort(out)
	return out
}

// until waits for a reading of exactly these members, by id and port, for which the condition holds.
func (f *follower) until(what string, members []string, holds func(rollout.Reading) bool) {
	f.t.Helper()
	met := false
	defer func() {
		if !met {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.t.Logf("the last members: %v, reading: %+v, trouble: %q", shapes(f.group), f.reading, f.trouble)
		}
	}()
	eventually(f.t, what, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		met = slices.Equal(shapes(f.group), members) && f.reading.Total == len(members) && holds(f.reading)
		return met
	})
}

// stays waits for two more reports, and makes sure that the members are still these.
func (f *follower) stays(what string, members []string) {
	f.t.Helper()
	f.mu.Lock()
	since := f.reports
	f.mu.Unlock()
	eventually(f.t, what, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if is := shapes(f.group); !slices.Equal(is, members) {
			f.t.Fatalf("%s: the members are %v, want %v", what, is, members)
		}
		return f.reports >= since+2
	})
}

func (f *follower) changed() (times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

func healthy(count int) func(rollout.Reading) bool {
	return func(r rollout.Reading) bool {
		return r.Healthy == count && r.Unhealthy == r.Total-count && r.Drift == ""
	}
}

func says(count int, drift string) func(rollout.Reading) bool {
	return func(r rollout.Reading) bool { return r.Healthy == count && strings.Contains(r.Drift, drift) }
}
