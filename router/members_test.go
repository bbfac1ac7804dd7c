package router

import (
	"errors"
	"testing"
	"time"
)

// Who brings members of an earlier time is late, unless it knows of a revision that the holder does not.
func TestMembers_Take(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 1000) }
	for name, c := range map[string]struct {
		held, next Members
		serving    int64
		later      bool
		stale      bool
	}{
		"nothing followed":                {Members{}, Members{}, 0, false, false},
		"the first":                       {Members{}, Members{at(5), 1}, 0, false, false},
		"later":                           {Members{at(5), 3}, Members{at(6), 3}, 0, true, false},
		"later, from a higher revision":   {Members{at(5), 3}, Members{at(6), 4}, 0, true, false},
		"the same":                        {Members{at(5), 3}, Members{at(5), 4}, 0, false, false},
		"the same, by another clock":      {Members{at(5), 3}, Members{at(5).In(time.FixedZone("", 3600)), 3}, 0, false, false},
		"earlier":                         {Members{at(5), 3}, Members{at(4), 3}, 0, false, true},
		"earlier, from a lower revision":  {Members{at(5), 3}, Members{at(4), 2}, 0, false, true},
		"earlier, from a higher revision": {Members{at(5), 3}, Members{at(4), 4}, 0, false, false},
		"earlier, at what serves":         {Members{at(5), 3}, Members{at(4), 7}, 7, false, true},
		"later, at what serves":           {Members{at(5), 3}, Members{at(6), 7}, 7, true, false},
		"none, from a higher revision":    {Members{at(5), 3}, Members{Revision: 4}, 0, false, false},
		"none":                            {Members{at(5), 3}, Members{Revision: 3}, 3, false, false},
	} {
		later, err := c.held.Take(c.next, c.serving)
		if later != c.later || errors.Is(err, ErrStale) != c.stale {
			t.Errorf("%s: later %v, %v", name, later, err)
		}
	}
}
