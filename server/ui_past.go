package server

import (
	"context"
	"sync"

	"viridian/rollout"
	"viridian/store"
	"viridian/web"
)

// recent is how many of each an environment's page lists.
const recent = 10

// past keeps what happened lately in the environments that somebody looks at, by the version that it was read at.
type past struct {
	mu   *sync.Mutex
	read map[string]*readPast
}

type readPast struct {
	mu      sync.Mutex
	version int64
	history store.History
}

func newPast() past { return past{mu: &sync.Mutex{}, read: map[string]*readPast{}} }

func (p *past) of(environment string) *readPast {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.read) > 1000 {
		clear(p.read)
	}
	if p.read[environment] == nil {
		p.read[environment] = &readPast{}
	}
	return p.read[environment]
}

// history is what happened in the environment up to its version, read once for all who look.
func (b *board) history(ctx context.Context, e rollout.Environment) (store.History, error) {
	at := b.past.of(e.Name)
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.version >= e.Version {
		return at.history, nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.Service.CallTimeout)
	defer cancel()
	read, err := b.Store.History(ctx, e.Name, recent)
	if err != nil {
		return at.history, err
	}
	at.history, at.version = read, e.Version
	return read, nil
}

// historyView shows it: generations as they are now where they are still known, else as they were recorded.
func historyView(e web.Environment, h store.History) web.History {
	var out web.History
	present := map[int]web.Generation{}
	for _, half := range []web.Half{e.Blue, e.Green} {
		if half.Main != nil {
			present[half.Main.Number] = *half.Main
		}
		for _, g := range half.Others {
			present[g.Number] = g
		}
	}
	for _, g := range h.Generations {
		shown, known := present[g.Number]
		if !known {
			shown = generationFacts(g)
		}
		out.Generations = append(out.Generations, shown)
	}
	out.More = len(h.Generations) == recent && h.Generations[recent-1].Number > 1
	colours := coloursOf(h.Generations)
	for _, s := range h.Switches {
		out.Switches = append(out.Switches, switchView(s, colours.shares))
	}
	for _, ev := range h.Events {
		out.Events = append(out.Events, eventView(ev))
	}
	return out
}

func coloursOf(list []rollout.Generation) colours {
	out := colours{}
	for _, g := range list {
		out[g.Number] = g.Colour
	}
	return out
}

func (c colours) shares(w rollout.Weights) []web.Share {
	var out []web.Share
	for _, n := range w.Numbers() {
		out = append(out, web.Share{Generation: n, Colour: c[n], Percent: w[n]})
	}
	return out
}
