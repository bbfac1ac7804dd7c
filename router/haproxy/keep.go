package haproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const fileHead = "# Written by Viridian. HAProxy reads it at its start; what is edited here is overwritten.\n"

// errLost says that HAProxy does not hold what was written to it just now: it was restarted, or edited by hand.
var errLost = errors.New("HAProxy lost what it was told while it was made durable")

// keepRoute makes the map file say of the environment what HAProxy's map says. It fails when the file has what e cannot
// follow: then the file is right, or somebody put it there.
func (n *Node) keepRoute(ctx context.Context, name string, e entry) error {
	return n.keep(ctx, "", func(v view, lines map[string]string) error {
		text, kept := v.entries[envKey+name], lines[envKey+name]
		if spoiled(text, kept) {
			return fmt.Errorf("environment %s: the map file says %.80q, which revision %d cannot follow", name, kept, e.revision)
		}
		return holds(text, name, e)
	})
}

// keepMap makes the map file follow HAProxy's map, which must have the environment at e's revision or above. The
// content is HAProxy's own, so that it does not matter which process writes it; it is compared once more when it is in
// place, in case another process has put an older one there.
func (n *Node) keepMap(ctx context.Context, name string, e entry) error {
	return n.keep(ctx, "", func(v view, _ map[string]string) error { return holds(v.entries[envKey+name], name, e) })
}

func holds(text, name string, e entry) error {
	if now, err := parseEntry(text); err != nil || now.revision < e.revision {
		return fmt.Errorf("environment %s, revision %d: %w", name, e.revision, errLost)
	}
	return nil
}

// keep is keepMap once check finds the view in order. The environment that is forgotten leaves the file; any other is
// kept there when somebody's hand took it out of HAProxy's map, so that it can be brought back.
func (n *Node) keep(ctx context.Context, forgotten string, check func(view, map[string]string) error) error {
	if n.files == nil {
		return nil
	}
	if err := take(ctx, n.writing); err != nil {
		return err
	}
	defer func() { <-n.writing }()
	defer n.files.alone(ctx)()
	n.files.clear(n.clock.Now())
	for range tries {
		// In this order: every writer changes HAProxy's map before the file, so that what is read first is never ahead.
		text, lines, err := n.files.readMap(ctx)
		if err != nil {
			return err
		}
		v, err := n.look(ctx, "")
		if err != nil {
			return err
		}
		if err := check(v, lines); err != nil {
			return err
		}
		delete(lines, envKey+forgotten)
		wanted := v.render(lines)
		if text == wanted {
			return nil
		}
		if err := n.files.write(ctx, mapName, []byte(wanted)); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s changes all the time", mapName)
}

// render is the content of the map file: what HAProxy holds, but for the entries of environments that a hand has
// spoiled; of those the file's are kept.
func (v view) render(lines map[string]string) string {
	var b strings.Builder
	b.WriteString(fileHead)
	write := func(key, value string) { fmt.Fprintf(&b, "%s %s\n", key, value) }
	for _, m := range v.lines {
		if kept, there := lines[m.key]; there && strings.HasPrefix(m.key, envKey) && spoiled(m.value, kept) {
			m.value = kept
		}
		write(m.key, m.value)
	}
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		_, there := v.entries[key]
		if _, err := parseEntry(lines[key]); err == nil && !there && strings.HasPrefix(key, envKey) {
			write(key, lines[key])
		}
	}
	return b.String()
}

// spoiled says whether the entry cannot follow the one that the file has: it is unreadable, at a lower revision, or at
// the same with other traffic.
func spoiled(text, kept string) bool {
	before, err := parseEntry(kept)
	if err != nil {
		return false // there is nothing to keep
	}
	now, err := parseEntry(text)
	return err != nil || now.revision < before.revision || (now.revision == before.revision && now.hash() != before.hash())
}

// keepSlot makes the state files of a slot hold what the view shows of its servers.
func (n *Node) keepSlot(ctx context.Context, v view, name string, s slot) error {
	if n.files == nil {
		return nil
	}
	if err := take(ctx, n.writing); err != nil {
		return err
	}
	defer func() { <-n.writing }()
	for service := range v.slots[name] {
		backend := backendName(name, service, s.number)
		servers, declared := v.servers[backend]
		if !declared {
			continue
		}
		content := stateFile(s.generation, servers)
		if written, _, err := n.files.readState(ctx, backend); err == nil && written == content {
			continue
		}
		if err := n.files.write(ctx, stateName(backend), []byte(content)); err != nil {
			return err
		}
	}
	return nil
}

// stateFile writes servers as HAProxy reads them. What changes all the time and means nothing at a start is left out,
// so that an unchanged slot needs no write.
func stateFile(generation int, servers []server) string {
	var b strings.Builder
	fmt.Fprintf(&b, "1\n%s# generation %d\n", fileHead, generation)
	for _, srv := range servers {
		fields := append([]string(nil), srv.fields...)
		fields[fieldSince] = "0"
		if srv.checkState&checkRunning != 0 {
			fields[fieldCheck] = fmt.Sprint(srv.checkState &^ checkRunning)
		}
		b.WriteString(strings.Join(fields, " ") + "\n")
	}
	return b.String()
}
