package web

import (
	"strings"
	"testing"
	"time"

	"viridian/rollout"
)

func TestWeightBar_LaysBlueLeftAndGreenBehindIt(t *testing.T) {
	t.Parallel()
	got := pieces([]Share{{43, rollout.Green, 10}, {41, rollout.Blue, 0}, {42, rollout.Blue, 90}})
	if len(got) != 2 || got[0].Generation != 42 || got[0].from != 0 || got[0].width != 900 || got[1].from != 900 || got[1].width != 100 {
		t.Errorf("%+v", got)
	}
	for want, shares := range map[string][]Share{
		"no traffic is routed":                                nil,
		"blue generation 42: 90 %, green generation 43: 10 %": {{43, rollout.Green, 10}, {42, rollout.Blue, 90}},
	} {
		if text := weightText(shares); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// TestWeightBar_PartsGenerationsOfOneColour, which would look like one of them.
func TestWeightBar_PartsGenerationsOfOneColour(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := WeightBar([]Share{{1, rollout.Blue, 50}, {3, rollout.Blue, 50}}).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), `class="weight-parting" d="M500 0V20"`); n != 1 {
		t.Errorf("%d partings in %s", n, &out)
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "nothing serves yet": "Nothing serves yet.",
		"token:anna locked the environment: audit": "token:anna locked the environment: audit."} {
		if got := Sentence(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSpark_LeavesGapsWhereNothingWasCounted(t *testing.T) {
	t.Parallel()
	if line := sparkLine([]float64{0, 5, 10, 0, 5}, 10, true); line != "M60 20.5L120 2M240 20.5" {
		t.Error(line)
	}
	if line := sparkLine([]float64{0, 10, 20}, 10, false); line != "M0 39L120 2L240 2" { // what is above the scale stays inside
		t.Error(line)
	}
	if area := sparkArea([]float64{1}, 10); area != "" {
		t.Error(area)
	}
	if area := sparkArea([]float64{0, 0}, 0); area != "M0 39L240 39L240 40L0 40Z" {
		t.Error(area)
	}
}

func TestTraffic_RowsSumUpWhatIsDrawn(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tr := Traffic{From: from, Step: 2 * time.Second, Rates: make([]float64, 12), Faults: make([]float64, 12), P99s: make([]float64, 12)}
	tr.Rates[2], tr.Rates[3], tr.P99s[3] = 10, 20, 7
	rows := tr.rows()
	if len(rows) != 6 || rows[1].Rate != 15 || rows[1].P99s != 7 || !rows[1].At.Equal(from.Add(4*time.Second)) || rows[5].Rate != 0 {
		t.Errorf("%+v", rows)
	}
	if rows := (Traffic{}).rows(); rows != nil {
		t.Errorf("%+v", rows)
	}
}

func TestNumbers_AsPeopleReadThem(t *testing.T) {
	t.Parallel()
	ms := func(v float64) *float64 { return &v }
	for _, c := range [][2]string{
		{perSecond(0), "0"}, {perSecond(0.44), "0.4"}, {perSecond(9.96), "10.0"}, {perSecond(412.4), "412"},
		{milliseconds(nil), "–"}, {milliseconds(ms(0.44)), "0.4 ms"}, {milliseconds(ms(12.6)), "13 ms"}, {milliseconds(ms(1500)), "1.5 s"},
		{plural(1, "node", "nodes"), "1 node"}, {plural(2, "node", "nodes"), "2 nodes"},
		{shortCommit("3f9c2e1d7a3b5c6d8e9f"), "3f9c2e1d7a3b"}, {shortCommit("v1.2.3-rc.12345"), "v1.2.3-rc.12345"},
		{fromTo(Switch{From: 41, To: 42}), "41 → 42"}, {fromTo(Switch{To: 1}), "to 1"}, {fromTo(Switch{From: 3}), "from 3"}, {fromTo(Switch{}), "weights set"},
		{eventWords(Event{Kind: "generation.ready", Generation: 43}), "generation 43 ready"},
		{eventWords(Event{Kind: "switch.applied", Revision: 7, Generation: 43}), "switch 7 applied, generation 43"},
		{eventWords(Event{Kind: "token.created"}), "token created"}, {eventWords(Event{Kind: "odd"}), "odd "},
		{eventWords(Event{Kind: "lock.set", Sentence: "The environment was locked"}), "The environment was locked"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q", c[0], c[1])
		}
	}
}

func TestLocal_LeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"/environments/shop?x=1#y": "/environments/shop?x=1#y", "?refresh=5": "?refresh=5", "#main": "#main",
		"//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/", "javascript:alert(1)": "/", "": "/", "evil": "/"} {
		if got := string(local(address)); got != want {
			t.Errorf("%q leads to %q, want %q", address, got, want)
		}
	}
}

func TestLinks_OfProvenanceAreOfTheWeb(t *testing.T) {
	t.Parallel()
	for repository, want := range map[string]string{
		"https://git.example.org/shop": "https://git.example.org/shop/commit/abc", "https://me:pass@git.example.org/a?b=c#d": "https://git.example.org/a/commit/abc",
		"git@git.example.org:shop": "", "javascript://x/%0aalert(1)": "", "data:text/html,x": "", "": "", "//host/x": "", "https:///x": ""} {
		if got := (GenerationDetail{Repository: repository, Commit: "abc"}).commitLink(); got != want {
			t.Errorf("%q: %q, want %q", repository, got, want)
		}
	}
	if got := (GenerationDetail{Repository: "https://git.example.org/shop", Commit: "../../evil"}).commitLink(); strings.Contains(got, "..") {
		t.Error(got)
	}
}

func TestBadge_HoldsItsText(t *testing.T) {
	t.Parallel()
	for _, b := range []BadgeView{{Name: "shop-prod", Colour: rollout.Blue, Live: 42, Standing: Standing{Good, "steady"}}, {Name: "x", Standing: Standing{Neutral, "nothing live"}}} {
		if b.wordAt()+b.wordWidth() >= b.width() || b.nameAt()+b.nameWidth() >= b.plateAt() {
			t.Errorf("%+v: width %d", b, b.width())
		}
	}
}
