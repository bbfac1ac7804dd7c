package haproxy

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

// stat is one row of "show stat", by the names of its columns.
type stat map[string]string

// readStats reads the answer to "show stat".
func readStats(answer string) ([]stat, error) {
	text, ok := strings.CutPrefix(answer, "# ")
	if !ok {
		return nil, fmt.Errorf("HAProxy's statistics: %.80q", answer)
	}
	r := csv.NewReader(strings.NewReader(text))
	r.ReuseRecord, r.FieldsPerRecord = true, -1
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("HAProxy's statistics: %w", err)
	}
	head = append([]string(nil), head...)
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("HAProxy's statistics: %w", err)
	}
	out := make([]stat, 0, len(rows))
	for _, fields := range rows {
		row := stat{}
		for i, field := range fields {
			if i < len(head) && field != "" {
				row[head[i]] = field
			}
		}
		out = append(out, row)
	}
	return out, nil
}

// number is a column that counts; 0 when it is empty.
func (s stat) number(column string) int64 {
	n, _ := strconv.ParseInt(s[column], 10, 64)
	return n
}
