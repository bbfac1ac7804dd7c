package search

import (
	"cmp"
	"encoding/binary"
	"reflect"
	"slices"
	"time"

	"viridian/rollout"
)

// plain makes alike what no decision looks at, so that databases that differ in nothing else are one: texts for people,
// times that are over, and the order of rows. What it does not know of stays as it is.
func plain(db *database) {
	e := &db.env
	e.CreatedAt, e.UpdatedAt, e.Version = epoch, epoch, 0
	e.Generations, db.gone = slices.Clone(e.Generations), slices.Clone(db.gone)
	for i := range e.Generations {
		plainGeneration(&e.Generations[i])
	}
	for i := range db.gone {
		plainGeneration(&db.gone[i])
	}
	slices.SortFunc(db.gone, func(a, b rollout.Generation) int { return a.Number - b.Number })
	plainProgress(e)
	e.Nodes, e.Receipts = slices.Clone(e.Nodes), slices.Clone(e.Receipts)
	e.Stagings, e.Readings = slices.Clone(e.Stagings), slices.Clone(e.Readings)
	e.Weights = sharesOf(e.Weights).weights()
	for i := range e.Receipts {
		e.Receipts[i].At, e.Receipts[i].Weights = epoch, sharesOf(e.Receipts[i].Weights).weights()
	}
	for i := range e.Readings {
		if e.Mending != nil && e.Mending.Lost != nil {
			continue // a repair waits for new ones
		}
		if g, _ := e.Generation(e.Readings[i].Generation); g.State != rollout.Registered && g.State != rollout.Validating {
			e.Readings[i].At = epoch.Add(-1) // older than any validation that may begin
		}
	}
	slices.SortFunc(e.Nodes, func(a, b rollout.Node) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(e.Receipts, func(a, b rollout.Receipt) int { return cmp.Compare(a.Node, b.Node) })
	slices.SortFunc(e.Stagings, func(a, b rollout.Staging) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Node, b.Node))
	})
	slices.SortFunc(e.Readings, func(a, b rollout.Reading) int { return cmp.Compare(a.Generation, b.Generation) })
}

// plainProgress is about the promotion, the switch and the hold.
func plainProgress(e *rollout.Environment) {
	e.LastPromotion = 0
	if e.Promotion != nil {
		p := *e.Promotion
		e.LastPromotion = 1
		p.ID, p.Reason, p.Actor, p.StartedAt = 1, "", "", epoch
		e.Promotion = &p
	}
	if e.Switch != nil {
		s := *e.Switch
		s.Actor, s.Reason, s.Promotion, s.CommittedAt, s.Warnings = "", "", 0, epoch, nil
		s.Weights = sharesOf(s.Weights).weights()
		if s.DrainedAt != nil {
			s.AppliedAt, s.DrainedAt = &epoch, &epoch
		}
		e.Switch = &s
	}
	if e.Hold != nil {
		e.Hold = &rollout.Hold{Since: epoch}
	}
}

func plainGeneration(g *rollout.Generation) {
	g.Reason = ""
	if g.State != rollout.Registered {
		g.CreatedAt = epoch
	}
	switch g.State {
	case rollout.Standby, rollout.Failed, rollout.Rejected, rollout.Retiring:
	default:
		g.StateChangedAt = epoch
	}
	if g.Checked.StartedAt != nil {
		g.Checked.StartedAt = &epoch
	}
	if g.State != rollout.Validating {
		g.Checked.Since, g.Checked.Deadline, g.Checked.Detail = nil, nil, ""
	}
	if g.Checked.FinishedAt != nil { // a validation is valid for ages
		g.Checked.FinishedAt = &epoch
	}
	if g.State == rollout.Retired {
		g.QuietAt = nil
	}
}

// encode appends everything of the database but what is the same in all of them.
func (db *database) encode(b []byte) []byte {
	e := db.env
	e.Spec, e.Timing = rollout.Spec{}, rollout.Timing{}
	b = encode(b, reflect.ValueOf(e))
	b = encode(b, reflect.ValueOf(db.gone))
	b = encode(b, reflect.ValueOf(db.history))
	return append(b, db.timeline)
}

// encode appends a value, so that equal bytes are equal values.
func encode(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint8:
		return append(b, uint8(v.Uint()))
	case reflect.String:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		return append(b, v.String()...)
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return encode(append(b, 1), v.Elem())
	case reflect.Slice, reflect.Array:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = encode(b, v.Index(i))
		}
		return b
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, compareKeys)
		b = binary.AppendUvarint(b, uint64(len(keys)))
		for _, key := range keys {
			b = encode(encode(b, key), v.MapIndex(key))
		}
		return b
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return binary.AppendVarint(b, int64(t.Sub(epoch)))
		}
		for i := range v.NumField() {
			b = encode(b, v.Field(i))
		}
		return b
	}
	panic("search: no encoding for " + v.Type().String())
}

func compareKeys(a, b reflect.Value) int {
	if a.Kind() == reflect.String {
		return cmp.Compare(a.String(), b.String())
	}
	return cmp.Compare(a.Int(), b.Int())
}
