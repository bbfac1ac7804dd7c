package router

import (
	"fmt"
	"time"

	"viridian/rollout"
)

// Members says which members of a generation a node holds: those of the time At, brought by a writer that knew Revision.
// At is zero while nothing of the generation is followed.
type Members struct {
	At       time.Time
	Revision int64
}

// MembersOf are those that a Stage brings. Times are those of the database, in microseconds.
func MembersOf(fence Fence, g rollout.Generation) Members {
	return Members{At: g.MembersAt.UTC().Truncate(time.Microsecond), Revision: fence.Revision}
}

// IsZero says whether nothing is followed. Then there is nothing to keep, either.
func (m Members) IsZero() bool { return m.At.IsZero() }

// Take says whether other members take the place of those that are held as a later state of the same generation: then
// nobody who stays is to be disturbed. Serving is the revision of the route on the node. It is ErrStale when the others
// are of an earlier time, unless their writer knows a revision above that and that of who brought those that are held:
// then the database was restored since, and these were lost. Groups that are not followed are not members of another
// time: they are what a restored database gave the number to.
func (m Members) Take(next Members, serving int64) (later bool, err error) {
	switch {
	case next.IsZero():
		return false, nil
	case next.At.Before(m.At) && next.Revision <= max(m.Revision, serving):
		return false, fmt.Errorf("its members of %s come after those of %s: %w", stamp(next.At), stamp(m.At), ErrStale)
	case m.At.IsZero():
		return false, nil
	}
	return next.At.After(m.At), nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
