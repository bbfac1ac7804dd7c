package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"viridian/rollout"
)

// membersPause is the shortest time between two changes of a generation's members: instances that are replaced together
// are one change.
const membersPause = time.Second

// followMembers records what members the generations that are followed have now, and returns the environment after it.
func (t *tenure) followMembers(e rollout.Environment) (rollout.Environment, error) {
	for number, w := range t.following() {
		g, members := w.seenMembers()
		if known, ok := e.Generation(number); !ok || !known.MembersAt.Equal(g.MembersAt) {
			continue // the watch is of other members, and begins anew
		}
		changed, err := t.nextMembers(w, g, members)
		if err != nil {
			return e, err
		}
		if len(changed.Now) == 0 {
			continue
		}
		if t.tooSoon(number) {
			t.lookAgain()
			continue
		}
		if e, err = t.recordMembers(changed); err != nil {
			return e, fmt.Errorf("members of generation %d: %w", number, err)
		}
	}
	return e, nil
}

// following are the watches that saw other members, or had told of some that cannot join or were lost.
func (t *tenure) following() map[int]*watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := maps.Clone(t.watches)
	maps.DeleteFunc(out, func(number int, w *watch) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.members == nil && w.leftOut == nil && t.lost[number].sizes == nil
	})
	return out
}

// seenMembers is the generation that is watched, and the groups that have other members now.
func (w *watch) seenMembers() (rollout.Generation, []rollout.Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.generation, w.members
}

// nextMembers works out what the groups become, and has the watch tell of instances that cannot join.
func (t *tenure) nextMembers(w *watch, g rollout.Generation, members []rollout.Group) (rollout.MembersSeen, error) {
	var all []rollout.Instance
	for _, group := range members {
		all = append(all, group.Instances...)
	}
	var taken map[string]string
	if len(all) > 0 {
		call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
		defer cancel()
		var err error
		if taken, err = t.w.Store.Taken(call, t.name, g.Number, all); err != nil {
			return rollout.MembersSeen{}, err
		}
	}
	changed, leftOut, losses := rollout.NextMembers(g.Groups, members, taken, t.losses(g.Number))
	t.setLosses(g.Number, losses)
	changed.Generation, changed.Since = g.Number, g.MembersAt
	if len(leftOut) == 0 {
		leftOut = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = w.pending || (w.fresh && !maps.EqualFunc(w.leftOut, leftOut, slices.Equal))
	w.leftOut = leftOut
	return changed, nil
}

// lossPatience is how long most of a group may be gone before they are let go: time for those that register themselves
// to be back in a registry that came back empty.
const lossPatience = time.Minute

// loss is what groups of a generation have lost, see [rollout.NextMembers].
type loss struct {
	since time.Time
	sizes map[string]int
}

// losses are those of the generation, nil when they have lasted for too long.
func (t *tenure) losses(number int) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch l, known := t.lost[number]; {
	case !known:
		return map[string]int{}
	case t.w.Clock.Since(l.since) < lossPatience:
		return l.sizes
	}
	return nil
}

func (t *tenure) setLosses(number int, sizes map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, known := t.lost[number]
	switch {
	case len(sizes) == 0:
		delete(t.lost, number)
	case known:
		t.lost[number] = loss{l.since, sizes}
	default:
		t.lost[number] = loss{t.w.Clock.Now(), sizes}
	}
}

// tooSoon says whether the members of the generation were changed just now.
func (t *tenure) tooSoon(number int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.w.Clock.Now()
	if at, known := t.changed[number]; known && now.Sub(at) < membersPause {
		return true
	}
	t.changed[number] = now
	return false
}

func (t *tenure) recordMembers(changed rollout.MembersSeen) (rollout.Environment, error) {
	call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
	defer cancel()
	after, err := t.w.Store.Record(call, t.name, t.term, rollout.Facts{Members: []rollout.MembersSeen{changed}})
	if err == nil {
		t.w.Hub.Publish(after)
	}
	return after, err
}

// told is the reading with the instances that belong to the group and cannot join; w.mu is held.
func (w *watch) told(r rollout.Reading) rollout.Reading {
	const most = 5
	texts := w.leftOut[r.Service]
	if more := len(texts) - most; more > 0 {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("and %d more", more))
	}
	if len(texts) > 0 {
		r.Drift = strings.TrimPrefix(r.Drift+"; "+strings.Join(texts, "; "), "; ")
	}
	return r
}
