package server

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
)

// auditWriter writes entries of the audit log in one form.
type auditWriter interface {
	begin() error
	write(e rollout.Event) error
	end() error
}

// exportAudit answers with everything within the filter as a file, however much that is. When it breaks off, the
// connection does: half a log is not taken for a whole one.
func (s *server) exportAudit(w http.ResponseWriter, r *http.Request) error {
	caller := callOf(r.Context()).caller
	_, filter, wrong := auditFilter(caller, r.URL.Query())
	if wrong != "" {
		return invalid("", wrong)
	}
	if err := allow(caller, "event.list", filter.Environment); err != nil {
		return err
	}
	out, kind, name := exporter(w, r.URL.Query().Get("form"))
	if out == nil {
		return invalid("?form", "must be csv or json")
	}
	connection := http.NewResponseController(w)
	began := false
	begin := func() error {
		began = true
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		return out.begin()
	}
	err := s.eachAudited(r, filter, func(e rollout.Event) error {
		if !began {
			if err := begin(); err != nil {
				return err
			}
		}
		_ = connection.SetWriteDeadline(time.Now().Add(time.Minute)) // where there are deadlines
		return out.write(e)
	})
	if err == nil && !began {
		err = begin()
	}
	if err == nil {
		err = out.end()
	}
	if err != nil && began {
		panic(http.ErrAbortHandler)
	}
	return err
}

func exporter(w io.Writer, form string) (out auditWriter, kind, name string) {
	switch form {
	case "csv":
		return &auditCSV{csv.NewWriter(w)}, "text/csv; charset=utf-8", "viridian-audit.csv"
	case "json":
		return &auditJSON{w: w}, "application/json", "viridian-audit.json"
	}
	return nil, "", ""
}

// auditCSV writes a table whose cells no spreadsheet takes for a formula.
type auditCSV struct{ w *csv.Writer }

func (a *auditCSV) begin() error {
	return a.w.Write([]string{"id", "at", "environment", "kind", "actor", "revision", "generation", "data", "prev_hash", "hash"})
}

func (a *auditCSV) write(e rollout.Event) error {
	row := []string{strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339Nano), e.Environment, e.Kind, e.Actor, strconv.FormatInt(e.Revision, 10),
		strconv.Itoa(e.Generation), string(e.Raw), e.PrevHash, e.Hash}
	for i, cell := range row {
		row[i] = plainCell(cell)
	}
	return a.w.Write(row)
}

func (a *auditCSV) end() error {
	a.w.Flush()
	return a.w.Error()
}

// plainCell puts an apostrophe before what a spreadsheet would compute.
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// auditJSON writes an array of what the API answers with.
type auditJSON struct {
	w    io.Writer
	some bool
}

func (a *auditJSON) begin() error {
	_, err := io.WriteString(a.w, "[")
	return err
}

func (a *auditJSON) write(e rollout.Event) error {
	text, err := json.Marshal(eventOf(e))
	if err != nil {
		return err
	}
	comma := "\n"
	if a.some {
		comma = ",\n"
	}
	a.some = true
	_, err = a.w.Write(append([]byte(comma), text...))
	return err
}

func (a *auditJSON) end() error {
	_, err := io.WriteString(a.w, "\n]\n")
	return err
}
