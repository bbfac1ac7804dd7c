package consul

import (
	"maps"
	"slices"
	"sync"

	"viridian/registry"
	"viridian/rollout"
)

// board gathers what the parts of one watch know of their services, and reports when it is something of each.
type board struct {
	generation int
	services   []string // in the order of the spec
	report     registry.Report

	mu       sync.Mutex
	readings map[string]rollout.Reading
	members  map[string]rollout.Group // by service, where they are others than those that are watched
	troubles map[string]error
}

func newBoard(generation int, services []string, report registry.Report) *board {
	return &board{generation: generation, services: services, report: report,
		readings: map[string]rollout.Reading{}, members: map[string]rollout.Group{}, troubles: map[string]error{}}
}

// told is what trouble of a part was told last; empty since it could do all.
func (b *board) told(part string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.troubles[part]; err != nil {
		return err.Error()
	}
	return ""
}

// post takes the readings of a part that could read everything.
func (b *board) post(part string, readings ...rollout.Reading) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeLocked(part, readings...)
	b.tell()
}

// postAdopted takes the reading of an adopted group and, when these are others than those that are watched, its members.
func (b *board) postAdopted(reading rollout.Reading, members *rollout.Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeLocked(reading.Service, reading)
	delete(b.members, reading.Service)
	if members != nil {
		b.members[reading.Service] = *members
	}
	b.tell()
}

func (b *board) takeLocked(part string, readings ...rollout.Reading) {
	delete(b.troubles, part)
	for _, r := range readings {
		r.Generation = b.generation
		b.readings[r.Service] = r
	}
}

// lose forgets what a part knew of its services, which it cannot read just now: nothing old is told as if it were new.
// With trouble, that is told.
func (b *board) lose(part string, services []string, trouble error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range services {
		delete(b.readings, s)
		delete(b.members, s)
	}
	if trouble != nil {
		b.troubles[part] = trouble
		b.tell()
	}
}

// trouble notes what a part cannot do beside reading; nil when it can.
func (b *board) trouble(part string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.troubles, part)
		return
	}
	b.troubles[part] = err
	b.tell()
}

func (b *board) tell() {
	var trouble error
	for _, part := range slices.Sorted(maps.Keys(b.troubles)) {
		trouble = b.troubles[part]
		break
	}
	var out []rollout.Reading
	var members []rollout.Group
	for _, s := range b.services {
		if r, known := b.readings[s]; known {
			out = append(out, r)
		}
		if group, differ := b.members[s]; differ {
			members = append(members, group)
		}
	}
	if len(out) < len(b.services) {
		out = nil
	}
	if out != nil || trouble != nil {
		b.report(registry.Seen{Readings: out, Members: members, Trouble: trouble})
	}
}
