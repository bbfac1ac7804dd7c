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
	troubles map[string]error
}

func newBoard(generation int, services []string, report registry.Report) *board {
	return &board{generation: generation, services: services, report: report,
		readings: map[string]rollout.Reading{}, troubles: map[string]error{}}
}

// post takes the readings of a part that could read everything.
func (b *board) post(part string, readings ...rollout.Reading) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.troubles, part)
	for _, r := range readings {
		r.Generation = b.generation
		b.readings[r.Service] = r
	}
	b.tell()
}

// lose forgets what a part knew of its services, which it cannot read just now: nothing old is told as if it were new.
// With trouble, that is told.
func (b *board) lose(part string, services []string, trouble error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range services {
		delete(b.readings, s)
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
	for _, s := range b.services {
		if r, known := b.readings[s]; known {
			out = append(out, r)
		}
	}
	if len(out) < len(b.services) {
		out = nil
	}
	if out != nil || trouble != nil {
		b.report(registry.Seen{Readings: out, Trouble: trouble})
	}
}
