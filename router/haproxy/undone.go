package haproxy

import (
	"context"
	"slices"
	"sync"
	"time"
)

// undone are edits by hand that this process wrote over without their having been observed: whoever changes something
// looks first, and goes on from what should be there. Observations tell of them for a while.
type undone struct {
	mu    sync.Mutex
	edits map[string][]undoneEdit // by environment
	told  map[string][]string     // by the last observation of each
}

type undoneEdit struct {
	text string
	at   time.Time
}

// undoneMemory is longer than the time between two observations.
const undoneMemory = 3 * time.Second

func (u *undone) add(name string, texts []string, now time.Time) {
	if len(texts) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, text := range texts {
		if slices.Contains(u.told[name], text) {
			continue
		}
		u.edits[name] = append(slices.DeleteFunc(u.edits[name], func(e undoneEdit) bool { return e.text == text }), undoneEdit{text, now})
	}
}

// observe takes what an observation found, and adds the latest of what was not found in time.
func (u *undone) observe(name string, found []string, now time.Time) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.told[name] = found
	u.edits[name] = slices.DeleteFunc(u.edits[name], func(e undoneEdit) bool { return now.Sub(e.at) > undoneMemory })
	out := slices.Clone(found)
	for _, e := range u.edits[name] {
		if !slices.Contains(out, e.text) {
			out = append(out, e.text)
		}
	}
	return out
}

// notice remembers what in the view is not as this process left it, since it is about to be written over.
func (n *Node) notice(ctx context.Context, env *environment, v view, name string) {
	o := observation{view: v, name: name}
	text, there := v.entries[envKey+name]
	held, err := parseEntry(text)
	last, unknown := parseEntry(env.entry)
	mine := unknown == nil && env.incarnation == v.incarnation
	switch {
	case there && err != nil:
		o.edited("%v", err)
	case !there && mine:
		o.edited(editGone)
	case there && mine && held.revision < last.revision:
		o.edited(editSetBack, held.revision, last.revision)
	case there:
		o.observeKeys(held)
		for _, s := range held.slots {
			if s.state == slotStaged && !s.isChanging() && v.sumOf(name, s) != s.sum {
				o.edited(editSlot, s.number, s.generation, n.difference(ctx, &o, s))
			}
		}
	}
	n.undone.add(name, o.Edits, n.clock.Now())
}
