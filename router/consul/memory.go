package consul

import (
	"maps"
	"sync"
	"time"
)

// memory is what this process last saw of environments, by place. It tells an edit by hand, which loses the mark, from
// what was never there. It is of use only to say so: without it, as after a restart, what has no mark counts as revision
// 0, and gets the present route.
type memory struct {
	mu   sync.Mutex
	runs map[string]run
}

// run is one environment in one incarnation of Consul, as it was seen at a time.
type run struct {
	incarnation string
	at          time.Time
	marks       map[string]mark // by place
}

// memorySpan is how long a look is remembered: for longer than it takes to the next one, where this process is who looks.
const memorySpan = 10 * time.Second

// recall completes what was found by what was seen a moment ago: a place that has lost its mark, or was set back, is
// edited and at the revision that it had. A place that is gone was given up where another one is newer by now.
func (m *memory) recall(environment, incarnation string, at time.Time, found []held) []held {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.runs[environment]
	if r.incarnation != incarnation || at.Sub(r.at) > memorySpan {
		return found
	}
	before := maps.Clone(r.marks)
	for name, old := range before {
		for _, p := range found {
			if p.Revision > old.Revision || p.SpecVersion > old.SpecVersion {
				delete(before, name)
			}
		}
	}
	for i, p := range found {
		old, known := before[p.name]
		delete(before, p.name)
		if !known || p.Revision >= old.Revision {
			continue
		}
		found[i].mark = old
		switch {
		case p.edited != "":
		case p.mark == mark{}: // what is staged anew is empty, too
			found[i].edited = p.name + " is gone: somebody deleted it"
		default:
			found[i].edited = p.name + " was set back by hand, and has " + weightsText(p.weights)
		}
	}
	for name, old := range before {
		found = append(found, held{mark: old, name: name, edited: name + " is gone: somebody deleted it"})
	}
	return found
}

// note remembers what is there now.
func (m *memory) note(environment, incarnation string, at time.Time, found []held) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs == nil {
		m.runs = map[string]run{}
	}
	marks := map[string]mark{}
	for _, p := range found {
		marks[p.name] = p.mark
	}
	m.runs[environment] = run{incarnation, at, marks}
}

// forget is for what this process itself deletes.
func (m *memory) forget(environment string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.runs, environment)
}
