package haproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const fileHead = "# Written by Viridian. HAProxy reads it at its start; what is edited here is overwritten.\n"

// errLost says that HAProxy does not hold what was written to it just now: it was restarted, or edited by hand.
var errLost = errors.New("HAProxy lost what it was told while it was made durable")

// keepMap makes the map file hold what HAProxy's map holds, which must have the environment, unless it is "", at e's
// revision or above.
// The content is HAProxy's own, so that it does not matter which process writes it; it is compared once more when it is
// in place, in case another process has put an older one there.
func (n *Node) keepMap(ctx context.Context, name string, e entry) error {
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
		v, err := n.look(ctx, "")
		if err != nil {
			return err
		}
		now, err := parseEntry(v.entries[envKey+name])
		if name != "" && (err != nil || now.revision < e.revision) {
			return fmt.Errorf("environment %s, revision %d: %w", name, e.revision, errLost)
		}
		written, err := n.files.readMap(ctx)
		if err != nil {
			return err
		}
		if v.sameAs(written) {
			return nil
		}
		var b strings.Builder
		b.WriteString(fileHead)
		for _, m := range v.lines {
			fmt.Fprintf(&b, "%s %s\n", m.key, m.value)
		}
		if err := n.files.write(ctx, mapName, []byte(b.String())); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s changes all the time", mapName)
}

func (v view) sameAs(lines map[string]string) bool {
	if len(lines) != len(v.entries) {
		return false
	}
	for key, value := range v.entries {
		if held, there := lines[key]; !there || held != value {
			return false
		}
	}
	return true
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
