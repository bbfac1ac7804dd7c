package audit

import (
	"encoding/json"
	"fmt"
	"time"

	"viridian/rollout"
)

// RecordKind says what a record of an exported log is.
type RecordKind string

// The kinds of record. A file begins with one of RecordExport; then comes each chain with where its events in the file
// begin; then the events of all chains, by id.
const (
	// RecordExport: ID is that of the newest event when the export began, At that time, Position the id behind which
	// the export was asked for; the data has the number of chains.
	RecordExport RecordKind = "export"
	// RecordChain: Position is the length of the chain, Hash its head.
	RecordChain RecordKind = "chain"
	// RecordPruned: the chain's anchor.
	RecordPruned RecordKind = "pruned"
	// RecordStart: the last event before those in the file, which the export leaves out.
	RecordStart RecordKind = "start"
	// RecordEvent is an event.
	RecordEvent RecordKind = "event"
)

// Record is one line of an exported log.
type Record struct {
	Record RecordKind
	Event
}

// ExportRecord begins a file of so many chains.
func ExportRecord(last, after int64, at time.Time, chains int) Record {
	return Record{RecordExport, Event{Event: rollout.Event{ID: last, At: at, Raw: fmt.Appendf(nil, `{"chains":%d}`, chains)}, Position: after}}
}

// ChainRecord tells how long a chain is.
func ChainRecord(environment string, end End) Record {
	return Record{RecordChain, Event{Event: rollout.Event{Environment: environment, Hash: end.Head}, Position: end.Length}}
}

// AnchorRecord tells where the events of a chain begin; kind is RecordPruned or RecordStart.
func AnchorRecord(kind RecordKind, environment string, a Anchor) Record {
	return Record{kind, Event{Event: rollout.Event{ID: a.Event, Environment: environment, At: a.At, Hash: a.Hash}, Position: a.Position}}
}

// EventRecord is an event of the log.
func EventRecord(e Event) Record { return Record{RecordEvent, e} }

// anchor is what a record of the kinds RecordPruned and RecordStart tells.
func (r Record) anchor() *Anchor {
	return &Anchor{Position: r.Position, Event: r.ID, At: r.At, Hash: r.Hash}
}

// line is a record as JSON. What a kind of record has no use for is left out.
type line struct {
	Record      RecordKind      `json:"record"`
	ID          int64           `json:"id"`
	Environment string          `json:"environment"`
	Position    int64           `json:"position"`
	Kind        string          `json:"kind,omitempty"`
	Actor       string          `json:"actor,omitempty"`
	At          time.Time       `json:"at,omitzero"`
	Revision    int64           `json:"revision,omitempty"`
	Generation  int             `json:"generation,omitempty"`
	PrevHash    string          `json:"prev_hash,omitempty"`
	Hash        string          `json:"hash"`
	Data        json.RawMessage `json:"data,omitempty"` // the last one: see jsonWriter
}

func (r Record) line() line {
	return line{Record: r.Record, ID: r.ID, Environment: r.Environment, Position: r.Position, Kind: r.Kind, Actor: r.Actor,
		At: r.At, Revision: r.Revision, Generation: r.Generation, PrevHash: r.PrevHash, Hash: r.Hash}
}

func (l line) record() Record {
	return Record{l.Record, Event{Position: l.Position, Event: rollout.Event{ID: l.ID, Environment: l.Environment, Kind: l.Kind,
		Actor: l.Actor, At: l.At, Revision: l.Revision, Generation: l.Generation, Raw: l.Data, PrevHash: l.PrevHash, Hash: l.Hash}}}
}
