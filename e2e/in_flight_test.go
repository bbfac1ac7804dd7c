package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"viridian/client"
	"viridian/router/routertest"
)

// TestProveInFlight flips while long requests, event streams and WebSockets are open. They go on; those that end by
// themselves end whole, and those that outlast the drain are ended, and counted.
func TestProveInFlight(t *testing.T) {
	t.Parallel()
	began := time.Now()
	of := count(6, 100) // of each kind
	r := newLab(t).replica("a")
	r.start("")
	r.ready()
	s := r.shop("shop")
	s.promote(s.candidate())
	traffic := s.load(2, 1)

	whole := s.open(of, 1)
	second := s.candidate()
	sw := s.promote(second)
	whole.goOn()
	s.counts("viridian_proxy_in_flight", 1, 3*of)
	s.backends[1].Release()
	whole.endWhole()
	sw = s.drained(sw.Revision)
	if took := sw.DrainedAt.Sub(*sw.AppliedAt); took >= drainTime {
		t.Errorf("drained %v after it was applied, although everything had ended", took)
	}
	s.counts("viridian_proxy_cut_total", 1, 0)

	late := s.open(of, second)
	sw = s.promote(s.candidate())
	applied := time.Now()
	late.goOn()
	late.areCut(applied)
	sw = s.drained(sw.Revision)
	if took := sw.DrainedAt.Sub(*sw.AppliedAt); took < drainTime-slack || took > drainTime+5*time.Second {
		t.Errorf("drained %v after it was applied, want the drain's %v", took, drainTime)
	}
	s.counts("viridian_proxy_cut_total", second, 3*of)

	v := routertest.Check(traffic.Stop(), s.flips)
	if !v.Clean() {
		t.Errorf("%v", v)
	}
	report(t, "%d long requests, %d event streams, %d WebSockets over 2 flips: half ended whole after the flip, half cut at the drain's end (%v), all counted; beside them %d requests, %d failed, %d stale; %v",
		2*of, 2*of, 2*of, drainTime, v.Requests, v.Failed, v.Stale, since(began))
}

// drained waits until nothing is open any more on what the switch left.
func (s *shop) drained(revision int64) client.Switch {
	s.Helper()
	res, err := s.client.ShowSwitchWithResponse(s.Context(), s.name, revision, &client.ShowSwitchParams{Wait: ptr(client.WaitDrained), Timeout: ptr("20s")})
	if err != nil || res.JSON200 == nil || res.JSON200.DrainedAt == nil || res.JSON200.AppliedAt == nil {
		s.Fatalf("switch %d is not drained: %v %s", revision, err, body(res))
	}
	return *res.JSON200
}

// metric reads a number of a generation from the replica's metrics: 0 when they do not name the generation. It is
// false when they cannot be read.
func (s *shop) metric(name string, generation int) (int, bool) {
	s.Helper()
	q, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+s.api+"/metrics", nil)
	if err != nil {
		s.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+s.token)
	res, err := quiet.Do(q)
	if err != nil {
		return 0, false
	}
	defer res.Body.Close()
	series := fmt.Sprintf("%s{environment=%q,generation=\"%d\"} ", name, s.name, generation)
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), series); ok {
			n, err := strconv.ParseFloat(text, 64)
			return int(n), err == nil
		}
	}
	return 0, lines.Err() == nil && res.StatusCode == http.StatusOK
}

// counts checks a number of a generation in the metrics.
func (s *shop) counts(name string, generation, want int) {
	s.Helper()
	if n, ok := s.metric(name, generation); !ok || n != want {
		s.Errorf("%s of generation %d is %d (read: %v), want %d", name, generation, n, ok, want)
	}
}

// openings are answers that have begun and wait for their instance, and WebSockets.
type openings struct {
	*shop
	ctx     context.Context
	answers []*http.Response
	sockets []*websocket.Conn
}

// open begins that many of each kind on the generation that serves now, which must be the one given.
func (s *shop) open(of, generation int) *openings {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	s.Cleanup(cancel)
	o := &openings{shop: s, ctx: ctx}
	for range of {
		o.begin("/slow", "begun\n", generation)
		o.begin("/sse", "data: begun\n\n", generation)
		//nolint:bodyclose // of an upgraded connection there is none
		c, res, err := websocket.Dial(ctx, "ws://"+s.proxy+"/ws", &websocket.DialOptions{Host: s.host})
		if err != nil {
			s.Fatalf("open a WebSocket: %v", err)
		}
		s.Cleanup(func() { _ = c.CloseNow() })
		s.answeredBy(res, generation)
		o.sockets = append(o.sockets, c)
	}
	o.goOn()
	return o
}

// begin starts one long answer and reads its beginning.
func (o *openings) begin(path, beginning string, generation int) {
	o.Helper()
	q, err := http.NewRequestWithContext(o.ctx, http.MethodGet, "http://"+o.proxy+path, nil)
	if err != nil {
		o.Fatal(err)
	}
	q.Host = o.host
	res, err := quiet.Do(q)
	if err != nil {
		o.Fatalf("%s: %v", path, err)
	}
	o.Cleanup(func() { _ = res.Body.Close() })
	o.answeredBy(res, generation)
	got := make([]byte, len(beginning))
	if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != beginning {
		o.Fatalf("%s begins with %q (%v)", path, got, err)
	}
	o.answers = append(o.answers, res) //nolint:bodyclose // see Cleanup above
}

func (s *shop) answeredBy(res *http.Response, generation int) {
	s.Helper()
	if got := res.Header.Get(routertest.GenerationHeader); got != strconv.Itoa(generation) {
		s.Fatalf("answered by generation %q, want %d", got, generation)
	}
}

// goOn checks that every WebSocket still echoes.
func (o *openings) goOn() {
	o.Helper()
	for i, c := range o.sockets {
		message := fmt.Sprintf("message %d at %v", i, time.Now())
		if err := c.Write(o.ctx, websocket.MessageText, []byte(message)); err != nil {
			o.Fatalf("WebSocket %d: %v", i, err)
		}
		if _, got, err := c.Read(o.ctx); err != nil || string(got) != message {
			o.Fatalf("WebSocket %d says %q (%v), want %q", i, got, err, message)
		}
	}
}

// endWhole reads every answer to the end that its instance gave it, and closes the WebSockets.
func (o *openings) endWhole() {
	o.Helper()
	for _, res := range o.answers {
		rest, err := io.ReadAll(res.Body)
		if err != nil || !strings.Contains(string(rest), "done") {
			o.Errorf("%s ends with %q (%v), want it whole", res.Request.URL.Path, rest, err)
		}
	}
	for i, c := range o.sockets {
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			o.Errorf("WebSocket %d does not close in order: %v", i, err)
		}
	}
}

// ending is how something that was open came to its end.
type ending struct {
	what string
	text string // that came before the end
	err  error
	at   time.Time
}

// endings reads everything that is open at once, each to its end.
func (o *openings) endings() []ending {
	ended := make(chan ending)
	for _, res := range o.answers {
		go func() {
			rest, err := io.ReadAll(res.Body)
			ended <- ending{res.Request.URL.Path, string(rest), err, time.Now()}
		}()
	}
	for i, c := range o.sockets {
		go func() {
			_, got, err := c.Read(o.ctx)
			ended <- ending{fmt.Sprintf("WebSocket %d", i), string(got), err, time.Now()}
		}()
	}
	var all []ending
	for range len(o.answers) + len(o.sockets) {
		all = append(all, <-ended)
	}
	return all
}

// slack is how long before a switch is recorded as applied, and its caller knows, the drain may have begun: it begins
// when the table is swapped.
const slack = time.Second

// areCut checks that everything goes on until the drain, which began a little before applied, is over, and ends then.
func (o *openings) areCut(applied time.Time) {
	o.Helper()
	for _, e := range o.endings() {
		if strings.Contains(e.text, "done") || (e.err == nil && strings.HasPrefix(e.what, "WebSocket")) {
			o.Errorf("%s ends with %q (%v) although its instance did not end it", e.what, e.text, e.err)
		}
		if after := e.at.Sub(applied); after < drainTime-slack || after > drainTime+5*time.Second {
			o.Errorf("%s ended %v after the flip, want the drain's %v (%v)", e.what, after, drainTime, e.err)
		}
	}
}
