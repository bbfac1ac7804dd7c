package audit

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
)

var columns = []string{"record", "id", "environment", "position", "kind", "actor", "at", "revision", "generation", "data", "prev_hash", "hash"}

// risky are the characters at which a spreadsheet begins to read a formula, or the text of another cell; and the one
// that is put before them.
const risky = "=+-@\t\r\n'＝＋－＠"

// harmless puts a ' before a text that begins with a risky character; meant takes it away again.
func harmless(text string) string {
	if strings.IndexAny(text, risky) == 0 {
		return "'" + text
	}
	return text
}

func meant(text string) string { return strings.TrimPrefix(text, "'") }

type csvWriter struct {
	to    *csv.Writer
	begun bool
}

func newCSVWriter(to io.Writer) *csvWriter { return &csvWriter{to: csv.NewWriter(to)} }

func (w *csvWriter) Write(r Record) error {
	if !w.begun {
		w.begun = true
		if err := w.to.Write(columns); err != nil {
			return err
		}
	}
	row := []string{string(r.Record), strconv.FormatInt(r.ID, 10), r.Environment, strconv.FormatInt(r.Position, 10), r.Kind, r.Actor,
		"", strconv.FormatInt(r.Revision, 10), strconv.Itoa(r.Generation), string(r.Raw), r.PrevHash, r.Hash}
	if !r.At.IsZero() {
		row[6] = r.At.UTC().Format(time.RFC3339Nano)
	}
	for i := range row {
		row[i] = harmless(row[i])
	}
	return w.to.Write(row)
}

func (w *csvWriter) Flush() error {
	w.to.Flush()
	return w.to.Error()
}

type csvReader struct{ from *csv.Reader }

func newCSVReader(from io.Reader) (*csvReader, error) {
	r := &csvReader{csv.NewReader(from)}
	r.from.FieldsPerRecord = len(columns)
	r.from.ReuseRecord = true
	head, err := r.from.Read()
	if err != nil || !slices.Equal(head, columns) {
		return nil, errors.New("the file is neither NDJSON nor CSV as an exported audit log is")
	}
	return r, nil
}

func (r *csvReader) Read() (Record, error) {
	row, err := r.from.Read()
	if err != nil {
		return Record{}, err
	}
	for i := range row {
		row[i] = meant(row[i])
	}
	out := Record{RecordKind(row[0]), Event{Event: rollout.Event{Environment: row[2], Kind: row[4], Actor: row[5], Raw: []byte(row[9]),
		PrevHash: row[10], Hash: row[11]}}}
	var numbers [4]int64
	for i, column := range []int{1, 3, 7, 8} {
		if numbers[i], err = strconv.ParseInt(row[column], 10, 64); err != nil {
			return Record{}, fmt.Errorf("column %s: %q is not a number", columns[column], row[column])
		}
	}
	out.ID, out.Position, out.Revision, out.Generation = numbers[0], numbers[1], numbers[2], int(numbers[3])
	if row[6] != "" {
		if out.At, err = time.Parse(time.RFC3339Nano, row[6]); err != nil {
			return Record{}, fmt.Errorf("column at: %q is not a time", row[6])
		}
	}
	return out, nil
}
