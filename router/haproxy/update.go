package haproxy

import (
	"context"
	"errors"
	"fmt"

	"viridian/router"
)

// tries is how often a change is worked out anew because somebody else's came first.
const tries = 10

// update changes the environment's entry: change is given what HAProxy holds and returns what it shall hold, or why
// not. It may be called more than once. The view that is returned shows the entry as it was before.
func (n *Node) update(ctx context.Context, name string, change func(view, entry) (entry, error)) (view, entry, error) {
	env := n.environment(name)
	if err := env.lock(ctx); err != nil {
		return view{}, entry{}, err
	}
	defer env.unlock()
	return n.updateLocked(ctx, env, name, change)
}

func (n *Node) updateLocked(ctx context.Context, env *environment, name string, change func(view, entry) (entry, error)) (view, entry, error) {
	var err error
	for range tries {
		var v view
		if v, err = n.look(ctx, name); err != nil {
			return v, entry{}, err
		}
		var before, after entry
		if before, err = n.present(ctx, env, v, name); err != nil {
			return v, entry{}, err
		}
		n.notice(ctx, env, v, name)
		if after, err = change(v, before); err != nil {
			return v, before, err
		}
		text := after.encode()
		if v.entries[envKey+name] == text {
			env.incarnation, env.entry = v.incarnation, text
			return v, after, nil
		}
		err = n.swap(ctx, v, envKey+name, text)
		switch {
		case err == nil:
			env.incarnation, env.entry = v.incarnation, text
			return v, after, nil
		case errors.Is(err, errChanged):
			n.layout.CompareAndSwap(v.layout, nil)
		case !errors.Is(err, errOvertaken):
			return v, before, err
		}
	}
	return view{}, entry{}, fmt.Errorf("environment %s: %d tries: %w", name, tries, err)
}

// present is the entry to go on from. Where a hand has made it unreadable or has taken it out, that is the one of the
// map file, or the last one that this process saw in the same run: the table of slots is in it.
func (n *Node) present(ctx context.Context, env *environment, v view, name string) (entry, error) {
	text, there := v.entries[envKey+name]
	held, err := parseEntry(text)
	if there && err == nil {
		return held, nil
	}
	kept, err := n.kept(ctx, env, v, name)
	if err != nil || !there {
		return kept, err
	}
	if held.revision > kept.revision || (held.revision == kept.revision && held.live != 0 && held.hash() != kept.hash()) {
		// Somebody moved traffic by hand. A new revision is compared with what they moved it to, so that it shows.
		if len(kept.slots) > 0 {
			held.slots, held.mark = kept.slots, kept.mark
		}
		return held, nil
	}
	return kept, nil
}

func (n *Node) kept(ctx context.Context, env *environment, v view, name string) (entry, error) {
	if n.files != nil {
		_, lines, err := n.files.readMap(ctx)
		if err != nil {
			return entry{}, err
		}
		if e, err := parseEntry(lines[envKey+name]); err == nil {
			return e, nil
		}
		return newEntry(), nil
	}
	e, err := parseEntry(env.entry)
	if err != nil || env.incarnation != v.incarnation {
		e = newEntry()
	}
	for _, s := range e.slots { // another process may have emptied it since
		if s.generation != 0 && !s.isChanging() && v.sumOf(name, s) != s.sum {
			e = e.with(slot{number: s.number, state: slotFree})
		}
	}
	return e, nil
}

// checkFence refuses a writer that is older than one that changed slots before: one that knows an older revision, or
// whose lease had a lower term at the same revision.
func (e entry) checkFence(f router.Fence) error {
	if f.Revision < e.revision || f.Revision < e.mark.Revision || (f.Revision == e.mark.Revision && f.Term < e.mark.Term) {
		return fmt.Errorf("revision %d, lease term %d, after %d, %d: %w", f.Revision, f.Term,
			max(e.revision, e.mark.Revision), e.mark.Term, router.ErrStale)
	}
	return nil
}
