package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Format is how records are written to a file.
type Format string

// The formats.
const (
	// NDJSON is one JSON object in each line.
	NDJSON Format = "ndjson"
	// CSV is a table as in RFC 4180 that a spreadsheet takes for text, never for a formula.
	CSV Format = "csv"
)

// Writer writes records. What is written is complete after Flush.
type Writer interface {
	Write(Record) error
	Flush() error
}

// NewWriter writes records in the format, which must be one of the two.
func NewWriter(to io.Writer, format Format) Writer {
	if format == CSV {
		return newCSVWriter(to)
	}
	return newJSONWriter(to)
}

// Reader reads records. After the last one Read returns io.EOF.
type Reader interface {
	Read() (Record, error)
}

// NewReader reads the records of a file in whichever format it is.
func NewReader(from io.Reader) (Reader, error) {
	text := bufio.NewReader(from)
	first, err := text.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty")
	case err != nil:
		return nil, err
	case first[0] == '{':
		return newJSONReader(text), nil
	}
	return newCSVReader(text)
}

// VerifyFile verifies every chain of an exported log, and looks for the noted hashes in it. An error means that it
// cannot be read, and so that nothing is known.
func VerifyFile(from io.Reader, noted []string) (Report, error) {
	reader, err := NewReader(from)
	if err != nil {
		return Report{}, err
	}
	f := &file{walks: map[string]*Walk{}}
	for _, hash := range noted {
		f.noted = append(f.noted, &Noted{Hash: hash})
	}
	for n := 1; ; n++ {
		r, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return f.report()
		}
		if err == nil {
			err = f.take(r)
		}
		if err != nil {
			return Report{}, fmt.Errorf("record %d: %w", n, err)
		}
	}
}

// file is what was read of an exported log.
type file struct {
	begun   bool
	last    int64 // the id of the newest event that it may hold
	chains  int   // how many it should list
	heads   []Record
	anchors map[string]Record
	walks   map[string]*Walk
	order   []*Walk
	noted   []*Noted
	problem string
}

func (f *file) take(r Record) error {
	switch {
	case !f.begun && r.Record != RecordExport:
		return errors.New("the file does not begin as an exported audit log does")
	case f.begun && r.Record == RecordExport:
		return errors.New("a second export begins: verify each by itself")
	}
	switch r.Record {
	case RecordExport:
		f.begun, f.last, f.anchors = true, r.ID, map[string]Record{}
		var told struct{ Chains int }
		if err := json.Unmarshal(r.Raw, &told); err != nil {
			return fmt.Errorf("how many chains there are: %w", err)
		}
		f.chains = told.Chains
	case RecordChain:
		f.heads = append(f.heads, r)
	case RecordPruned, RecordStart:
		f.anchors[r.Environment] = r
	case RecordEvent:
		f.event(r.Event)
	default:
		return fmt.Errorf("a record of the kind %q is not known here", r.Record)
	}
	return nil
}

// begin makes a walk of every chain that the file lists; that is before its first event.
func (f *file) begin() {
	for _, head := range f.heads {
		var anchor *Anchor
		r, cut := f.anchors[head.Environment]
		if cut {
			anchor = r.anchor()
		}
		w := NewWalk(head.Environment, anchor, End{Length: head.Position, Head: head.Hash})
		if cut && r.Record == RecordStart {
			w.Trust()
		}
		for _, n := range f.noted {
			w.Look(n)
		}
		f.walks[head.Environment], f.order = w, append(f.order, w)
	}
	f.heads = nil
}

func (f *file) event(e Event) {
	f.begin()
	w := f.walks[e.Environment]
	switch {
	case w == nil:
		f.wrong(fmt.Sprintf("event %d belongs to the chain %q, which the file does not list", e.ID, e.Environment))
	case e.ID > f.last:
		f.wrong(fmt.Sprintf("event %d is newer than the export", e.ID))
	default:
		w.Step(e)
	}
}

func (f *file) wrong(problem string) {
	if f.problem == "" {
		f.problem = problem
	}
}

func (f *file) report() (Report, error) {
	if !f.begun {
		return Report{}, errors.New("the file holds nothing")
	}
	f.begin()
	if len(f.order) != f.chains {
		f.wrong(fmt.Sprintf("the file lists %d chains of %d", len(f.order), f.chains))
	}
	out := Report{Problem: f.problem}
	for _, w := range f.order {
		out.Chains = append(out.Chains, w.Close())
	}
	for _, n := range f.noted {
		out.Noted = append(out.Noted, *n)
	}
	return out, nil
}
