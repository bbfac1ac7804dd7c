package audit

import "time"

// Pruned is the kind of the event that records an anchor.
const Pruned = "audit.pruned"

// Anchor is where a pruned chain begins: the last event that is gone.
type Anchor struct {
	Position int64     `json:"position"`
	Event    int64     `json:"event"` // its id
	At       time.Time `json:"at"`
	Hash     string    `json:"hash"`
}

// Data is what the event of the kind [Pruned] says of the anchor.
func (a Anchor) Data() map[string]any {
	return map[string]any{"position": a.Position, "event": a.Event, "at": a.At.UTC().Format(time.RFC3339Nano), "hash": a.Hash}
}

// End is what a chain is said to end with, beside its events.
type End struct {
	Length int64  // how many events it ever had
	Head   string // the hash of the last one, empty before the first
}

// Fault is the first thing that is wrong in a chain.
type Fault struct {
	Event    int64 // the id of the event that shows it; 0 where there is none
	Position int64 // the place in the chain that is wrong
	Problem  string
}

// Chain is what the verification of one chain found.
type Chain struct {
	Environment string // empty for the chain of what belongs to none
	Anchor      *Anchor
	// Verified is how far the chain was found right: the events from the anchor, or from the first, up to this one.
	Verified End
	// Events counts the events that were verified; LastEvent is the id of the last of them, 0 for none.
	Events    int64
	LastEvent int64
	Fault     *Fault // nil when the whole chain is right
}

// Noted says what became of a hash that the caller had noted outside of the log.
type Noted struct {
	Hash string
	// Found means that an event with this hash is part of a chain that is right up to it, so that nothing before it was
	// changed. The fields after it say which.
	Found       bool
	Environment string
	Position    int64
}

// Report is what the verification of several chains found.
type Report struct {
	Chains []Chain
	Noted  []Noted
	// Problem is what is wrong with the log as a whole, beyond its chains.
	Problem string
}

// Intact says whether nothing at all is wrong.
func (r Report) Intact() bool {
	for _, c := range r.Chains {
		if c.Fault != nil {
			return false
		}
	}
	for _, n := range r.Noted {
		if !n.Found {
			return false
		}
	}
	return r.Problem == ""
}
