package controller

import (
	"slices"
	"time"
)

// edits are what somebody changed on a node behind our back, and what of it is still to be told. A finding is told when
// it is new, and not again before it is gone; one that comes back again and again is told ever more rarely, as heals are
// made.
type edits struct {
	seen    []string // by the last look
	pending []string
	telling map[string]telling // by finding
}

// telling is when a finding was last told, and how often.
type telling struct {
	at    time.Time
	times int
}

// Spans between two tellings of a finding, the time after which it counts as new, how many are told apart, and how many
// in one event.
const (
	tellPause    = 250 * time.Millisecond
	tellPauseMax = time.Minute
	tellMemory   = 10 * time.Minute
	tellApart    = 50
	tellAtOnce   = 20
)

// look notes what a look found.
func (e *edits) look(found []string) {
	for _, text := range found {
		if !slices.Contains(e.seen, text) && !slices.Contains(e.pending, text) && len(e.pending) < tellAtOnce {
			e.pending = append(e.pending, text)
		}
	}
	e.seen = found
}

// key is the finding, or one for all where somebody does something else each time: that makes no storm either.
func (e *edits) key(text string) string {
	if _, known := e.telling[text]; !known && len(e.telling) >= tellApart {
		return ""
	}
	return text
}

// due is what may be told now.
func (e *edits) due(now time.Time) []string {
	var out []string
	for _, text := range e.pending {
		t := e.telling[e.key(text)]
		if t.times == 0 || now.Sub(t.at) >= min(tellPause<<min(t.times-1, 16), tellPauseMax) {
			out = append(out, text)
		}
	}
	return out
}

// told notes that these were recorded.
func (e *edits) told(found []string, now time.Time) {
	if e.telling == nil {
		e.telling = map[string]telling{}
	}
	for key, t := range e.telling {
		if now.Sub(t.at) > tellMemory {
			delete(e.telling, key)
		}
	}
	for _, text := range found {
		key := e.key(text)
		e.telling[key] = telling{at: now, times: e.telling[key].times + 1}
	}
	e.pending = slices.DeleteFunc(e.pending, func(text string) bool { return slices.Contains(found, text) })
}
