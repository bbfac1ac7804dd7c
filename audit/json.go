package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

type jsonWriter struct{ to *bufio.Writer }

func newJSONWriter(to io.Writer) *jsonWriter { return &jsonWriter{bufio.NewWriter(to)} }

// Write leaves Raw byte by byte as it is, since it is what was hashed. One that holds a line break is no event of ours,
// and is written in one line.
func (w *jsonWriter) Write(r Record) error {
	text, err := json.Marshal(r.line())
	if err != nil {
		return fmt.Errorf("write event %d: %w", r.ID, err)
	}
	if r.Raw != nil {
		raw := bytes.ReplaceAll(bytes.ReplaceAll(r.Raw, []byte("\n"), []byte(" ")), []byte("\r"), []byte(" "))
		text = append(append(text[:len(text)-1], `,"data":`...), raw...)
		text = append(text, '}')
	}
	_, err = w.to.Write(append(text, '\n'))
	return err
}

func (w *jsonWriter) Flush() error { return w.to.Flush() }

type jsonReader struct{ from *json.Decoder }

func newJSONReader(from io.Reader) *jsonReader { return &jsonReader{json.NewDecoder(from)} }

func (r *jsonReader) Read() (Record, error) {
	var l line
	err := r.from.Decode(&l)
	return l.record(), err
}
