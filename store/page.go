package store

import (
	"encoding/base64"
	"strconv"
	"strings"

	"viridian/rollout"
)

// Limits of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// Paging asks for one page of a list. Limit is 1 to [MaxLimit], 0 means [DefaultLimit]; Cursor is the Next of the page
// before, empty for the first.
type Paging struct {
	Limit  int
	Cursor string
}

// Page is one page of a list. Next is the cursor of the following one, empty on the last. Pages are cut by key: what
// was there throughout is seen once, however much is added meanwhile.
type Page[T any] struct {
	Items []T
	Next  string
}

func limit(n int) int {
	if n <= 0 {
		return DefaultLimit
	}
	return min(n, MaxLimit)
}

// cut makes a page of the rows of a query that asked for one more than the limit.
func cut[T any](rows []T, p Paging, list string, key func(T) string) Page[T] {
	n := limit(p.Limit)
	if len(rows) <= n {
		return Page[T]{Items: rows}
	}
	rows = rows[:n]
	return Page[T]{Items: rows, Next: base64.RawURLEncoding.EncodeToString([]byte(list + ":" + key(rows[n-1])))}
}

// after reads a cursor of the list; start is its value for the first page.
func (p Paging) after(list, start string) (string, error) {
	if p.Cursor == "" {
		return start, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	key, ours := strings.CutPrefix(string(raw), list+":")
	if err != nil || !ours || strings.ContainsRune(key, 0) {
		return "", badCursor()
	}
	return key, nil
}

func (p Paging) afterNumber(list string, start int64) (int64, error) {
	key, err := p.after(list, strconv.FormatInt(start, 10))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return 0, badCursor()
	}
	return n, nil
}

func badCursor() error {
	r := rollout.Refuse(rollout.InvalidRequest, "the cursor is not one of this list", "use the next_cursor of the page before, or leave it out")
	r.Errors = []rollout.FieldError{{Pointer: "?cursor", Detail: "not a cursor of this list"}}
	return r
}

// patterns turns globs, in which * stands for any characters, into those of LIKE.
func patterns(globs []string) []string {
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`)
	out := make([]string, len(globs))
	for i, glob := range globs {
		out[i] = escape.Replace(glob)
	}
	return out
}
