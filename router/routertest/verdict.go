package routertest

import (
	"fmt"
	"time"
)

// Flip is one change of the route, as its caller saw it.
type Flip struct {
	Begun   time.Time // before the call
	Applied time.Time // after it returned, or after the answer said "applied"
	Weights map[int]int
}

// Verdict is the judgement over the answers of a load.
type Verdict struct {
	Requests int
	Failed   int         // did not answer with status 200
	Stale    int         // began after a flip was applied and were answered by a generation without weight in it
	By       map[int]int // answers by generation
	First    string      // the first failed or stale one, for people
}

// Clean says whether nothing failed and nothing was stale.
func (v Verdict) Clean() bool { return v.Failed == 0 && v.Stale == 0 }

func (v Verdict) String() string {
	s := fmt.Sprintf("%d requests, %d failed, %d stale, by generation %v", v.Requests, v.Failed, v.Stale, v.By)
	if v.First != "" {
		s += "; first: " + v.First
	}
	return s
}

// Check judges answers by the flips of their environment, which are in order and do not overlap; the first one was
// applied before the load began. A request may be answered by what the last flip applied before its start gave weight
// to, or any flip begun before its end; anything else is stale.
func Check(answers []Answer, flips []Flip) Verdict {
	v := Verdict{Requests: len(answers), By: map[int]int{}}
	for _, a := range answers {
		switch {
		case a.Err != nil:
			v.Failed++
			v.note("failed %v after its start: %v", a.End.Sub(a.Start), a.Err)
		case !allowed(a, flips):
			v.Stale++
			v.note("stale: generation %d answered a request begun at %s", a.Generation, a.Start.Format(time.StampMicro))
		}
		if a.Err == nil {
			v.By[a.Generation]++
		}
	}
	return v
}

func (v *Verdict) note(format string, args ...any) {
	if v.First == "" {
		v.First = fmt.Sprintf(format, args...)
	}
}

// allowed looks at the flips from the newest that was begun before the answer's end back to the one that was in force
// at its start.
func allowed(a Answer, flips []Flip) bool {
	for i := after(flips, a.End) - 1; i >= 0; i-- {
		if flips[i].Weights[a.Generation] > 0 {
			return true
		}
		if flips[i].Applied.Before(a.Start) {
			return false
		}
	}
	return false
}

// after is the number of flips begun at or before t.
func after(flips []Flip, t time.Time) int {
	low, high := 0, len(flips)
	for low < high {
		if mid := (low + high) / 2; flips[mid].Begun.After(t) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}
