package haproxy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"viridian/rollout"
	"viridian/router"
)

var entries = rapid.Custom(func(t *rapid.T) entry {
	number := rapid.IntRange(0, 1<<40)
	e := entry{revision: int64(number.Draw(t, "revision")), live: number.Draw(t, "live"), previous: number.Draw(t, "previous"),
		spec: int64(number.Draw(t, "spec")), sites: sum("x"), drain: int64(number.Draw(t, "drain")),
		mark: router.Fence{Revision: int64(number.Draw(t, "mark")), Term: int64(number.Draw(t, "term"))}}
	used := 0
	for i := range rapid.IntRange(0, 13).Draw(t, "slots") {
		s := slot{number: i + 1, state: slotFree, sum: "-", since: int64(number.Draw(t, "since"))}
		if rapid.Bool().Draw(t, "full") {
			used++
			s.generation, s.sum = i+10, sum(fmt.Sprint(i))
			s.state = rapid.SampledFrom([]slotState{slotFilling, slotStaged, slotLeaving}).Draw(t, "state")
			if rapid.Bool().Draw(t, "followed") {
				s.members = router.Members{At: time.UnixMicro(int64(number.Draw(t, "members"))).UTC(), Revision: int64(number.Draw(t, "by"))}
				s.changing = int64(number.Draw(t, "changing"))
			}
		}
		e.slots = append(e.slots, s)
	}
	for _, s := range e.slots {
		switch {
		case s.generation == 0:
		case e.a == 0:
			e.a = s.number
		case e.b == 0:
			e.b, e.share = s.number, rapid.IntRange(0, 100).Draw(t, "share")
		}
	}
	return e
})

// TestEntry_ReadsBack: what is written is one safe word, reads back as it was, and any change of it shows.
func TestEntry_ReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := entries.Draw(t, "entry")
		text := e.encode()
		if !isSafe(text) {
			t.Fatalf("%q is no word of a command", text)
		}
		back, err := parseEntry(text)
		if d := cmp.Diff(e, back, cmp.AllowUnexported(entry{}, slot{})); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
		if sum := e.weights().Sum(); sum != 0 && sum != 100 && (e.b != 0 || e.share <= 0) {
			t.Fatalf("the weights are %v", e.weights())
		}
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		with := rapid.StringMatching(`[0-9a-z|,:-]{0,2}`).Draw(t, "with")
		if edited := text[:at] + with + text[at+1:]; edited != text {
			if _, err := parseEntry(edited); !errors.Is(err, errEdited) {
				t.Fatalf("the edit of %s to %s does not show", text, edited)
			}
		}
	})
}

// TestParseEntry_OfAnything takes whatever a hand can type.
func TestParseEntry_OfAnything(t *testing.T) {
	t.Parallel()
	for text, revision := range map[string]int64{
		"": 0, "green": 0, "7": 7, "7|x": 7, "-7|1|0|0": 0, "99999999999999999999": 0, "9223372036854775807|1": 0, "7|1|0|0|1|0|1|x|0|0|0|1:1|x": 7,
		"7|1|0|0|1|0|1|x|0|0|0|1:1:ss:x:0|x": 7, "7|1|0|0|1|0|1|x|0|0|0|-|x": 7, strings.Repeat("|", 12): 0, strings.Repeat("9|", 5000): 9,
		"4503599627370495|1": credible - 1, "4503599627370496|1": 0, "9007199254740991|1|0|0|1|0|1|x|0|0|0|-|x": 0,
		"7|1|0|0|1|0|9007199254740991|x|0|0|0|-|x": 7, // of the rest nothing is left
	} {
		e, err := parseEntry(text)
		if !errors.Is(err, errEdited) || e.revision != revision {
			t.Errorf("%.40q: revision %d, want %d: %v", text, e.revision, revision, err)
		}
		if e.spec >= credible {
			t.Errorf("%.40q: version %d of the spec is believed", text, e.spec)
		}
	}
}

func TestEntry_Weights(t *testing.T) {
	t.Parallel()
	e := newEntry().with(slot{number: 2, generation: 42, state: slotStaged}).with(slot{number: 1, generation: 41, state: slotStaged})
	for text, c := range map[string]struct {
		a, b, share int
		want        rollout.Weights
	}{
		"none": {0, 0, 0, rollout.Weights{}}, "one": {2, 0, 0, rollout.Weights{42: 100}}, "two": {1, 2, 10, rollout.Weights{41: 90, 42: 10}},
		"all of b": {1, 2, 100, rollout.Weights{42: 100}},
	} {
		e.a, e.b, e.share = c.a, c.b, c.share
		if d := cmp.Diff(c.want, e.weights()); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

// TestCommand_Encode holds to the list of what is allowed.
func TestCommand_Encode(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"a b", "a;b", "a\nb", "a\\b", "#1", "<<", "@1", "é", "", "a\x00", "\"a\"", "$x", "%41", strings.Repeat("a", maxWord+1)} {
		if text, err := (command{"show", word}).encode(); err == nil {
			t.Errorf("%.20q is encoded as %.40q", word, text)
		}
	}
	long := command{"show", strings.Repeat("a", 3000)}
	grouped, err := lines([]command{long, long, long, long, long})
	if err != nil || len(grouped) != 3 || len(grouped[0]) != 2 {
		t.Errorf("%d lines: %v", len(grouped), err)
	}
}

// TestSections parts answers, and refuses what is too few, too many or cut.
func TestSections(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int{"a\nb\n\nc\n\n": 2, "\n\n": 2, "a\n\n\n": 2, "a\n\nb\n": 0, "a\n\nb\n\nc\n\n": 0, "a\n\n": 0, "": 0} {
		got, err := sections(answer, 2)
		if (err == nil) != (want == 2) || (err == nil && len(got) != 2) {
			t.Errorf("%q: %q, %v", answer, got, err)
		}
	}
}
