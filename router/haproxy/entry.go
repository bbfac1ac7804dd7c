package haproxy

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// entry is all that a node holds of one environment, and the value of its key in the map:
//
//	revision|a|b|share|live|previous|spec|sites|drain|mark revision|mark term|slots|check
//
// The printed rules read the first four: a request goes to slot b with a chance of share percent, else to slot a; slot
// 0 is nobody, which answers 503. The check shows an edit by hand.
type entry struct {
	revision       int64
	a, b, share    int
	live, previous int
	spec           int64  // version
	sites          string // sum of the hosts, see sites.go
	drain          int64  // milliseconds
	mark           router.Fence
	slots          []slot // in use or used before, by number
}

// slotState says what is going on in a slot.
type slotState byte

const (
	// slotFree: nothing, since the time of slot.since.
	slotFree slotState = '-'
	// slotFilling: by Stage, since slot.since. Whoever dies over it leaves it to the next Stage.
	slotFilling slotState = 'f'
	// slotStaged: the generation is there and checked. slot.since is when it lost its weight, until its drain is over.
	slotStaged slotState = 's'
	// slotLeaving: by Remove. Whoever dies over it leaves it to the next Remove or Stage.
	slotLeaving slotState = 'x'
)

// slot is one place for a generation: one backend of every service.
type slot struct {
	number     int
	generation int // 0 in a free one
	state      slotState
	sum        string // of generation and addresses, see placement.go
	since      int64  // seconds of HAProxy's clock; 0 for none
	// Of a generation that is followed: which members those are, and since when Stage is at work to put them in the place
	// of others, in seconds of HAProxy's clock; 0 when it is not. Meanwhile the slot serves from those that are there.
	members  router.Members
	changing int64
}

// isChanging says whether the slot is on its way from some members to others. Whoever dies over it leaves it to the next
// Stage.
func (s slot) isChanging() bool { return s.changing > 0 }

// isStill says whether the slot is to hold what the other one is to hold.
func (s slot) isStill(other slot) bool { return s.generation == other.generation && s.sum == other.sum }

func (s slot) encode() string {
	text := fmt.Sprintf("%d:%d:%c:%s:%d", s.number, s.generation, s.state, s.sum, s.since)
	if !s.members.IsZero() {
		text += fmt.Sprintf(":%d:%d:%d", s.members.At.UnixMicro(), s.members.Revision, s.changing)
	}
	return text
}

const noSlots = "-"

func (e entry) encode() string {
	slots := noSlots
	if len(e.slots) > 0 {
		var words []string
		for _, s := range e.slots {
			words = append(words, s.encode())
		}
		slots = strings.Join(words, ",")
	}
	text := fmt.Sprintf("%d|%d|%d|%d|%d|%d|%d|%s|%d|%d|%d|%s", e.revision, e.a, e.b, e.share, e.live, e.previous, e.spec,
		e.sites, e.drain, e.mark.Revision, e.mark.Term, slots)
	return text + "|" + checkOf(text)
}

func checkOf(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// highest is more than any number here ever is; what a hand wrote beyond it could not be followed by a next one.
const highest = 1 << 53

// credible is more than what an edited entry is believed to say. What is believed, the next revision is put above: an
// edit must not use up the numbers there are.
const credible = highest / 2

// errEdited is wrapped when an entry can be read and is not as any Viridian wrote it.
var errEdited = errors.New("the map entry was changed by hand")

// parseEntry reads an entry. With errEdited it returns what could be read.
func parseEntry(text string) (entry, error) {
	e := newEntry()
	unreadable := func() (entry, error) {
		e := newEntry()
		if n, err := strconv.ParseInt(strings.SplitN(text, "|", 2)[0], 10, 64); err == nil && n > 0 && n < credible {
			e.revision = n
		}
		return e, fmt.Errorf("%w: it reads %.80q", errEdited, text)
	}
	fields := strings.Split(text, "|")
	if len(fields) != 13 {
		return unreadable()
	}
	e.sites = fields[7]
	bad := false
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		bad = bad || err != nil || n < 0 || n > highest
		return n
	}
	e.revision, e.spec, e.drain = number(fields[0]), number(fields[6]), number(fields[8])
	e.a, e.b, e.share = int(number(fields[1])), int(number(fields[2])), int(number(fields[3]))
	e.live, e.previous = int(number(fields[4])), int(number(fields[5]))
	e.mark = router.Fence{Revision: number(fields[9]), Term: number(fields[10])}
	if fields[11] != noSlots {
		for word := range strings.SplitSeq(fields[11], ",") {
			p := strings.Split(word, ":")
			if (len(p) != 5 && len(p) != 8) || len(p[2]) != 1 {
				return unreadable()
			}
			s := slot{number: int(number(p[0])), generation: int(number(p[1])), state: slotState(p[2][0]), sum: p[3], since: number(p[4])}
			if len(p) == 8 {
				s.members = router.Members{At: time.UnixMicro(number(p[5])).UTC(), Revision: number(p[6])}
				s.changing = number(p[7])
			}
			e.slots = append(e.slots, s)
		}
	}
	if bad {
		return unreadable()
	}
	if fields[12] != checkOf(text[:strings.LastIndexByte(text, '|')]) || !e.coherent() {
		if e.revision >= credible || e.spec >= credible {
			return unreadable()
		}
		return e, fmt.Errorf("%w: it reads %.80q", errEdited, text)
	}
	return e, nil
}

// newEntry is what an environment is that the node knows nothing of.
func newEntry() entry { return entry{sites: "-"} }

// coherent says whether traffic goes only where a generation is.
func (e entry) coherent() bool {
	return e.share <= 100 && (e.a == 0 || e.in(e.a).generation != 0) && (e.b == 0 || e.in(e.b).generation != 0)
}

// in is the slot of that number.
func (e entry) in(number int) slot {
	for _, s := range e.slots {
		if s.number == number {
			return s
		}
	}
	return slot{number: number, state: slotFree}
}

// of is the slot of that generation.
func (e entry) of(generation int) (slot, bool) {
	for _, s := range e.slots {
		if s.generation == generation && generation != 0 {
			return s, true
		}
	}
	return slot{}, false
}

// with returns the entry with that slot in place of the one of its number.
func (e entry) with(s slot) entry {
	e.slots = slices.DeleteFunc(slices.Clone(e.slots), func(o slot) bool { return o.number == s.number })
	e.slots = append(e.slots, s)
	slices.SortFunc(e.slots, func(a, b slot) int { return a.number - b.number })
	return e
}

// weights are the shares as requests meet them.
func (e entry) weights() rollout.Weights {
	w := rollout.Weights{}
	add := func(number, share int) {
		if g := e.in(number).generation; number != 0 && share > 0 {
			w[g] += share
		}
	}
	add(e.a, 100-e.share)
	add(e.b, e.share)
	return w
}

// hash is the content hash of what requests meet.
func (e entry) hash() string { return rollout.Route{Weights: e.weights(), Live: e.live}.Hash() }

func (e entry) carries(s slot) bool { return e.weights().Carries(s.generation) }

// inUse says whether the generation has weight or is one that traffic may return to at once.
func (e entry) inUse(generation int) bool {
	return e.weights().Carries(generation) || (generation != 0 && (generation == e.live || generation == e.previous))
}
