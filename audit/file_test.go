package audit_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"viridian/audit"
	"viridian/rollout"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

// chain makes a chain of n events with data that is hard to carry.
func chain(environment string, firstID int64, n int) (events []audit.Event, end audit.End) {
	data := []string{`{}`, `{"reason":"=1+1"}`, `{"a":"\u003cb\u003e & \"c\""}`, "{\"tab\":\"\\t\",\"ü\":\"＝\"}", `{"x": 1 }`}
	actors := []string{"viridian", "=cmd|' /C calc'!A0", "+1", "-1", "@sum", "\ttab", "'quoted", `a "b", c`, "line\nbreak"}
	for i := range n {
		events = append(events, audit.Event{Event: rollout.Event{ID: firstID + int64(i), Environment: environment, Kind: "lock.set",
			Actor: actors[i%len(actors)], At: noon.Add(time.Duration(i) * time.Microsecond), Revision: int64(i), Generation: i, Raw: []byte(data[i%len(data)])}})
	}
	return events, audit.End{Length: int64(n), Head: audit.Seal(events, 0, "")}
}

// write makes a file of what is given for one chain.
func write(t *testing.T, format audit.Format, end audit.End, anchor *audit.Record, events []audit.Event) []byte {
	t.Helper()
	var out bytes.Buffer
	w := audit.NewWriter(&out, format)
	records := []audit.Record{audit.ExportRecord(1000, 0, noon, 1), audit.ChainRecord("shop", end)}
	if anchor != nil {
		records = append(records, *anchor)
	}
	for _, e := range events {
		records = append(records, audit.EventRecord(e))
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What was written is read again, byte for byte, in both formats.
func TestFile_RoundTrip(t *testing.T) {
	t.Parallel()
	events, end := chain("shop", 1, 20)
	for _, format := range []audit.Format{audit.NDJSON, audit.CSV} {
		file := write(t, format, end, nil, events)
		r, err := audit.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var got []audit.Event
		for {
			record, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if record.Record == audit.RecordEvent {
				got = append(got, record.Event)
			}
		}
		if diff := cmp.Diff(events, got); diff != "" {
			t.Errorf("%s (-written +read):\n%s", format, diff)
		}
		report, err := audit.VerifyFile(bytes.NewReader(file), []string{end.Head, events[3].Hash})
		if err != nil || !report.Intact() || report.Chains[0].Events != 20 || report.Noted[1].Position != 4 {
			t.Errorf("%s: %v %+v", format, err, report)
		}
	}
}

// No cell of the table begins as a formula does.
func TestCSV_HoldsNoFormula(t *testing.T) {
	t.Parallel()
	events, end := chain("shop", 1, 20)
	rows, err := csv.NewReader(bytes.NewReader(write(t, audit.CSV, end, nil, events))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	escaped := 0
	for _, row := range rows {
		for _, cell := range row {
			if strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠") == 0 {
				t.Errorf("a cell is %q", cell)
			}
			if strings.HasPrefix(cell, "'") {
				escaped++
			}
		}
	}
	if len(rows) != 23 || escaped < 10 {
		t.Errorf("%d rows, %d cells made harmless", len(rows), escaped)
	}
}

// Every event that is changed, left out, doubled or moved shows, in whichever format, and so does every cut of the file.
func TestVerifyFile_FindsDamage(t *testing.T) {
	t.Parallel()
	events, end := chain("shop", 1, 12)
	change := map[string]func(e []audit.Event) []audit.Event{
		"edited":        func(e []audit.Event) []audit.Event { e[5].Actor += "x"; return e },
		"data edited":   func(e []audit.Event) []audit.Event { e[5].Raw = []byte(`{ }`); return e },
		"time edited":   func(e []audit.Event) []audit.Event { e[5].At = e[5].At.Add(time.Microsecond); return e },
		"hash edited":   func(e []audit.Event) []audit.Event { e[5].Hash = strings.Repeat("0", 64); return e },
		"left out":      func(e []audit.Event) []audit.Event { return append(e[:5], e[6:]...) },
		"first out":     func(e []audit.Event) []audit.Event { return e[1:] },
		"last out":      func(e []audit.Event) []audit.Event { return e[:11] },
		"all out":       func([]audit.Event) []audit.Event { return nil },
		"doubled":       func(e []audit.Event) []audit.Event { return append(e, e[11]) },
		"moved":         func(e []audit.Event) []audit.Event { e[5], e[6] = e[6], e[5]; return e },
		"renumbered":    func(e []audit.Event) []audit.Event { e[5].ID = 1; return e },
		"too new":       func(e []audit.Event) []audit.Event { e[11].ID = 5000; return e },
		"another chain": func(e []audit.Event) []audit.Event { e[5].Environment = "other"; return e },
	}
	for name, damage := range change {
		for _, format := range []audit.Format{audit.NDJSON, audit.CSV} {
			damaged := damage(append([]audit.Event(nil), events...))
			report, err := audit.VerifyFile(bytes.NewReader(write(t, format, end, nil, damaged)), nil)
			if err == nil && report.Intact() {
				t.Errorf("%s in %s: not found", name, format)
			}
		}
	}
	for _, format := range []audit.Format{audit.NDJSON, audit.CSV} {
		file := write(t, format, end, nil, events)
		for n := range len(file) - 1 { // without its last line break it is whole
			if report, err := audit.VerifyFile(bytes.NewReader(file[:n]), nil); err == nil && report.Intact() {
				t.Fatalf("%s cut at byte %d of %d is taken for whole", format, n, len(file))
			}
		}
	}
}

// A pruned chain begins behind its anchor, and only behind one that an event in it tells of.
func TestVerifyFile_Pruned(t *testing.T) {
	t.Parallel()
	events, _ := chain("shop", 1, 12)
	anchor := audit.Anchor{Position: 4, Event: 4, At: events[3].At, Hash: events[3].Hash}
	seal := func(a audit.Anchor) audit.End {
		events[11].Kind = audit.Pruned
		events[11].Raw = fmt.Appendf(nil, `{"position":%d,"event":%d,"hash":%q}`, a.Position, a.Event, a.Hash)
		return audit.End{Length: 12, Head: audit.Seal(events[4:], 4, anchor.Hash)}
	}
	pruned := audit.AnchorRecord(audit.RecordPruned, "shop", anchor)
	start := audit.AnchorRecord(audit.RecordStart, "shop", anchor)
	other := anchor
	other.Position = 3
	for name, c := range map[string]struct {
		told   audit.Anchor
		anchor *audit.Record
		intact bool
	}{
		"recorded":          {anchor, &pruned, true},
		"left out":          {anchor, &start, true},
		"recorded as other": {other, &pruned, false},
		"left out as other": {other, &start, true},
		"without":           {anchor, nil, false},
	} {
		report, err := audit.VerifyFile(bytes.NewReader(write(t, audit.NDJSON, seal(c.told), c.anchor, events[4:])), []string{events[8].Hash})
		if err != nil || report.Intact() != c.intact {
			t.Errorf("%s: %v, %+v", name, err, report)
		}
	}
	whole, end := chain("shop", 1, 5)
	whole[4].Kind, whole[4].Raw = audit.Pruned, []byte(`{"position":2}`)
	end.Head = audit.Seal(whole, 0, "")
	if report, err := audit.VerifyFile(bytes.NewReader(write(t, audit.NDJSON, end, nil, whole)), nil); err != nil || report.Intact() {
		t.Errorf("an event tells of an anchor that is not there: %v, %+v", err, report)
	}
}

func TestVerifyFile_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	first := `{"record":"export","id":1,"environment":"","position":0,"hash":"","data":{"chains":0}}` + "\n"
	head := "record,id,environment,position,kind,actor,at,revision,generation,data,prev_hash,hash\n"
	for name, text := range map[string]string{
		"nothing": "", "text": "hello", "other JSON": `{"a": 1}`, "a list": `[]`, "only a table's head": head, "another table": "a,b\n1,2\n",
		"twice": first + first, "without a number of chains": `{"record":"export","id":1}`, "unknown record": first + `{"record":"extra"}`, "no number": head + "export,x,,0,,,,0,0,,,\n",
		"no time": head + "export,1,,0,,,noon,0,0,,,\n", "too few cells": head + "export,1\n", "event first": `{"record":"event"}`,
	} {
		if report, err := audit.VerifyFile(strings.NewReader(text), nil); err == nil {
			t.Errorf("%s: %+v", name, report)
		}
	}
}

// Any bytes are read or refused, and never taken for an intact log that has events.
func FuzzVerifyFile(f *testing.F) {
	events, end := chain("shop", 1, 3)
	var t testing.T
	for _, format := range []audit.Format{audit.NDJSON, audit.CSV} {
		f.Add(write(&t, format, end, nil, events))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		report, err := audit.VerifyFile(bytes.NewReader(file), []string{end.Head})
		if err != nil || !report.Intact() {
			return
		}
		for _, c := range report.Chains { // then it is this very chain, under whatever dress
			if c.Events > 0 && c.Environment == "shop" && c.Verified != end {
				t.Errorf("%+v", report)
			}
		}
	})
}
