package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// view is what HAProxy held at one moment, of one run of it.
type view struct {
	*layout
	now     int64             // its clock, in seconds since 1970
	lines   []mapping         // the whole map, in its order
	twice   []mapping         // what only a hand adds: entries whose key is there before
	entries map[string]string // the same by key
	servers map[string][]server
}

// mapping is one line of the map. HAProxy's id names it among those of the same key.
type mapping struct{ key, value, id string }

var (
	errLeaving = errors.New("the HAProxy process that answers is on its way out")
	errChanged = errors.New("HAProxy was restarted or reloaded meanwhile")
)

// look reads the map, and the servers of the environment's slots unless it is "".
func (n *Node) look(ctx context.Context, environment string) (view, error) {
	var l *layout
	var err error
	for range 3 {
		if l, err = n.currentLayout(ctx); errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return view{}, err
		}
		var v view
		if v, err = n.lookAt(ctx, l, environment); !errors.Is(err, errChanged) {
			return v, err
		}
		n.layout.CompareAndSwap(l, nil)
	}
	return view{}, err
}

func (n *Node) lookAt(ctx context.Context, l *layout, environment string) (view, error) {
	var backends []string
	if environment != "" {
		backends = l.backends(environment)
	}
	commands := []command{{"show", "info"}, {"show", "map", l.mapFile}}
	for _, b := range backends {
		commands = append(commands, command{"show", "servers", "state", b})
	}
	// Again at the end: of several lines, each is a connection of its own, and might reach another process.
	answers, err := n.runtime.show(ctx, append(commands, command{"show", "info"})...)
	if err != nil {
		return view{}, err
	}
	v := view{layout: l, servers: map[string][]server{}}
	for _, info := range []string{answers[len(answers)-1], answers[0]} {
		i, err := readInfo(info)
		if err != nil {
			return view{}, err
		}
		if i.incarnation != l.incarnation {
			return view{}, errChanged
		}
		v.now = i.now
	}
	if err := v.readMap(answers[1]); err != nil {
		return view{}, err
	}
	for i, b := range backends {
		if v.servers[b], err = readServers(b, answers[2+i]); err != nil {
			return view{}, err
		}
	}
	return v, nil
}

// currentLayout is the layout of the run that was last seen.
func (n *Node) currentLayout(ctx context.Context) (*layout, error) {
	if l := n.layout.Load(); l != nil {
		return l, nil
	}
	answers, err := n.runtime.show(ctx, command{"show", "info"}, command{"show", "map"}, command{"show", "backend"}, command{"show", "info"})
	if err != nil {
		return nil, err
	}
	before, err := readInfo(answers[0])
	if err != nil {
		return nil, err
	}
	after, err := readInfo(answers[3])
	if err != nil {
		return nil, err
	}
	if before.incarnation != after.incarnation {
		return nil, errChanged
	}
	l, err := readLayout(before.incarnation, answers[1], answers[2])
	if err != nil {
		return nil, err
	}
	if n.fence != nil { // else one that is configured wrongly would show at the next flip, which may be a rollback
		if err := n.fence.swap(ctx, before.pid, envKey, absent, absent); err != nil {
			return nil, err
		}
	}
	n.compareMapFile(l)
	n.layout.Store(l)
	return l, nil
}

// compareMapFile warns of a map file that is not HAProxy's, as far as that shows from here.
func (n *Node) compareMapFile(l *layout) {
	if n.files == nil || n.runtime.network != "unix" {
		return
	}
	theirs, err := os.Stat(l.mapFile)
	ours, err2 := os.Stat(n.files.mapFile)
	if err == nil && (err2 != nil || !os.SameFile(theirs, ours)) {
		n.logger.Warn("map_file is not the file that this HAProxy reads, unless that is in another container: a restart would bring back old traffic",
			"map_file", n.files.mapFile, "haproxy_reads", l.mapFile)
	}
}

// info is what "show info" says of a process.
type info struct {
	pid, incarnation string
	now              int64
}

// readInfo also refuses a process that a reload has told to end: it still answers for a moment.
func readInfo(answer string) (info, error) {
	fields := map[string]string{}
	for line := range strings.Lines(answer) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		fields[key] = value
	}
	pid, start := fields["Pid"], fields["Start_time_sec"]
	began, err := strconv.ParseInt(start, 10, 64)
	uptime, err2 := strconv.ParseInt(fields["Uptime_sec"], 10, 64)
	if fields["Name"] != "HAProxy" || pid == "" || err != nil || err2 != nil {
		return info{}, fmt.Errorf("this is not the runtime socket of HAProxy: %.80q", answer)
	}
	if fields["Stopping"] == "1" {
		return info{}, errLeaving
	}
	return info{pid: pid, incarnation: pid + "-" + start, now: began + uptime}, nil
}

// readMap reads the answer to "show map FILE". Of a key that is there twice, HAProxy uses the first.
func (v *view) readMap(answer string) error {
	v.entries = map[string]string{}
	for line := range strings.Lines(answer) {
		parts := strings.SplitN(strings.TrimRight(line, "\n"), " ", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[0], "0x") {
			return fmt.Errorf("HAProxy's map: %.80q", line)
		}
		m := mapping{key: parts[1], value: parts[2], id: parts[0]}
		if _, twice := v.entries[m.key]; twice {
			v.twice = append(v.twice, m)
			continue
		}
		v.entries[m.key] = m.value
		v.lines = append(v.lines, m)
	}
	return nil
}
