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
		g, members, told := w.seenMembers()
		if known, ok := e.Generation(number); !ok || !known.MembersAt.Equal(g.MembersAt) {
			continue // the watch is of other members, and begins anew
		}
		changed, losses, err := t.nextMembers(w, g, members, told)
		if err != nil {
			return e, err
		}
		if len(changed.Now) > 0 {
			if t.tooSoon(number) {
				t.lookAgain()
				continue
			}
			if e, err = t.recordMembers(changed); err != nil {
				return e, fmt.Errorf("members of generation %d: %w", number, err)
			}
		}
		t.setLosses(number, losses, told)
	}
	return e, nil
}

// following are the watches that have told who is there, and saw other members, or had told of some that cannot join or
// were lost.
func (t *tenure) following() map[int]*watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := maps.Clone(t.watches)
	maps.DeleteFunc(out, func(number int, w *watch) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.toldAt.IsZero() || w.members == nil && w.leftOut == nil && t.lost[number].sizes == nil
	})
	return out
}

// seenMembers is the generation that is watched, the groups that have other members now, and when that was told.
func (w *watch) seenMembers() (g rollout.Generation, members []rollout.Group, told time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.generation, w.members, w.toldAt
}

// nextMembers works out what the groups become and what they have lost, and has the watch tell of instances that cannot
// join.
func (t *tenure) nextMembers(w *watch, g rollout.Generation, members []rollout.Group, told time.Time) (changed rollout.MembersSeen, losses map[string]int, err error) {
	var all []rollout.Instance
	for _, group := range members {
		all = append(all, group.Instances...)
	}
	var taken map[string]string
	if len(all) > 0 {
		call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
		defer cancel()
		if taken, err = t.w.Store.Taken(call, t.name, g.Number, all); err != nil {
			return changed, nil, err
		}
	}
	changed, leftOut, losses := rollout.NextMembers(g.Groups, members, taken, t.losses(g.Number, told))
	changed.Generation, changed.Since = g.Number, g.MembersAt
	if len(leftOut) == 0 {
		leftOut = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = w.pending || (w.fresh && !maps.EqualFunc(w.leftOut, leftOut, slices.Equal))
	w.leftOut = leftOut
	return changed, losses, nil
}

// lossPatience is how long a registry may say that most of a group are gone before they are let go: time for those that
// register themselves to be back in one that came back empty.
const lossPatience = time.Minute

// lossGap is how long a registry may tell nothing before patience begins anew.
const lossGap = 3 * refresh

// loss is what groups of a generation have lost, see [rollout.NextMembers].
type loss struct {
	since, told time.Time // when that was first told, and last
	sizes       map[string]int
}

// losses are those of the generation, nil when they have lasted for too long. Time in which nothing was told, as while the
// registry is away, lets nobody go.
func (t *tenure) losses(number int, told time.Time) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch l, known := t.lost[number]; {
	case !known:
		return map[string]int{}
	case told.Sub(l.told) > lossGap, told.Sub(l.since) < lossPatience:
		return l.sizes
	}
	return nil
}

func (t *tenure) setLosses(number int, sizes map[string]int, told time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, known := t.lost[number]
	switch {
	case len(sizes) == 0:
		delete(t.lost, number)
	case known && told.Sub(l.told) <= lossGap:
		t.lost[number] = loss{l.since, told, sizes}
	default:
		t.lost[number] = loss{told, told, sizes}
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
