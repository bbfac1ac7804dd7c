package haproxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
	"viridian/router"
)

// Observe reads what HAProxy does in the environment, and holds it against its map file and its servers. Revision and
// weights are those that a restart would leave: while the file is behind, they are the file's, and Fence is the revision
// that serves. What somebody changed by hand is named in Error and in Edits; a generation whose servers or preview were
// changed is not among Staged.
func (n *Node) Observe(ctx context.Context, name string) (router.Observation, error) {
	o := observation{Observation: router.Observation{Receipt: rollout.Receipt{Router: n.router, Node: n.name,
		Grade: n.Grade(), Hash: rollout.Route{}.Hash()}}, name: name}
	if err := checkNames(name, nil); err != nil {
		return o.Observation, err
	}
	var kept map[string]string
	var err error
	if n.files != nil { // before the look: what is written first to HAProxy and then to the file is never behind
		if _, kept, err = n.files.readMap(ctx); err != nil {
			return o.Observation, err
		}
	}
	if o.view, err = n.look(ctx, name); err != nil {
		return o.Observation, err
	}
	o.Incarnation, o.At = o.incarnation, n.clock.Now()
	held := n.observeEntry(&o, kept)
	if err := n.observeSlots(ctx, &o, held); err != nil {
		return o.Observation, err
	}
	o.Error = strings.Join(o.findings, "; ")
	o.Edits = n.undone.observe(name, o.Edits, n.clock.Now())
	return o.Observation, nil
}

// observation is an Observe under way.
type observation struct {
	router.Observation
	view
	name     string
	findings []string // what is not as it should be
}

func (o *observation) found(format string, args ...any) {
	o.findings = append(o.findings, fmt.Sprintf(format, args...))
}

// What hands do, as it is told.
const (
	editGone    = "the map entry is gone: somebody took it out by hand"
	editSetBack = "the map entry was set back by hand: it is at revision %d instead of %d"
	editSlot    = "slot %d is not as generation %d was staged in it: %s"
)

// edited notes what somebody changed behind our back, to be told.
func (o *observation) edited(format string, args ...any) {
	o.found(format, args...)
	o.Edits = append(o.Edits, o.findings[len(o.findings)-1])
}

// byHand notes an edit of the environment's entry. Whoever made it went around the fence, so that a lower revision is no
// late news.
func (o *observation) byHand(format string, args ...any) {
	o.edited(format, args...)
	o.Grade = rollout.GradeReadBack
}

// shown is a value of the map as people are told of it.
func shown(value string) string {
	if value == "" {
		return "gone"
	}
	return fmt.Sprintf("%.80q", value)
}

func (o *observation) tell(e entry) {
	o.Revision, o.SpecVersion, o.Hash, o.Weights = e.revision, e.spec, e.hash(), e.weights()
}

// observeEntry holds the environment's entry against the lines of the map file, and returns it.
func (n *Node) observeEntry(o *observation, lines map[string]string) entry {
	text, there := o.entries[envKey+o.name]
	held, err := newEntry(), error(nil)
	if there {
		if held, err = parseEntry(text); err != nil {
			o.byHand("%v", err)
		} else {
			o.observeHosts(held)
			o.observeKeys(held)
		}
	}
	o.tell(held)
	if n.files == nil {
		return held
	}
	fileText, inFile := lines[envKey+o.name]
	file, err := parseEntry(fileText)
	switch {
	case text == fileText && there == inFile:
	case !there && err == nil:
		o.byHand(editGone)
	case err == nil && file.revision > held.revision:
		o.byHand(editSetBack, held.revision, file.revision)
	case !there || o.Grade != n.Grade():
	case err == nil && file.revision == held.revision && file.hash() != held.hash():
		o.byHand("the map entry was changed by hand: the map file has %v at this revision", file.weights())
	case inFile && err != nil: // nothing of it is believed: HAProxy never held it
		o.tell(newEntry())
		o.Fence = held.revision
		o.edited("the map file was changed by hand: it reads %.80q", fileText)
	case err != nil || file.revision != held.revision:
		o.tell(file)
		o.Fence = held.revision
		o.found("revision %d serves, and is not durable yet: the map file is at revision %d", held.revision, file.revision)
	case file.durable() != held.settled(file).durable():
		o.found("the map file is not up to date")
	}
	return held
}

func (o *observation) observeHosts(e entry) {
	if sites := o.sites(o.name); sumOfSites(sites) != e.sites {
		o.edited("the hosts were changed: now %v lead here", slices.Sorted(maps.Keys(sites)))
	}
}

// observeKeys looks for entries that nobody here wrote.
func (o *observation) observeKeys(e entry) {
	for _, m := range o.twice {
		if o.concerns(o.name, m) {
			o.edited("the map has %s twice", m.key)
		}
	}
	for _, m := range o.lines {
		number, isPreview := strings.CutPrefix(m.key, previewKey+o.name+"/")
		if n, err := strconv.Atoi(number); isPreview && (err != nil || e.lacks(n)) {
			o.edited("the map has %s, which is of no generation here", m.key)
		}
	}
}

// lacks says whether no slot has anything to do with the generation.
func (e entry) lacks(generation int) bool {
	_, known := e.of(generation)
	return !known
}

// concerns says whether an entry of the map is the environment's.
func (v view) concerns(environment string, m mapping) bool {
	return m.key == envKey+environment || strings.HasPrefix(m.key, previewKey+environment+"/") ||
		(strings.HasPrefix(m.key, siteKey) && strings.HasPrefix(v.entries[m.key], environment+"."))
}

// settled is the entry with the slots whose members are being changed as the file has them: both are members of the
// generation, and the end of the change makes it durable.
func (e entry) settled(file entry) entry {
	for _, s := range e.slots {
		if was := file.in(s.number); s.isChanging() && was.generation == s.generation && was.state == s.state {
			s.sum = was.sum
			e = e.with(s)
		}
	}
	return e
}

// durable is the part of an entry that a restart must find: not what is under way, nor who did it. That it finds the
// time of the members is what Stage returns for.
func (e entry) durable() string {
	e.mark = router.Fence{}
	slots := e.slots
	e.slots = nil
	for _, s := range slots {
		if s.state == slotStaged {
			s.since, s.members, s.changing = 0, router.Members{}, 0
			e.slots = append(e.slots, s)
		}
	}
	return e.encode()
}
