package server

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
)

// liveMessage is one message of a page's stream.
type liveMessage struct {
	id, event, data string
	at              time.Time
}

// liveReader reads the stream of a page as a browser does.
type liveReader struct {
	t        *testing.T
	status   int
	messages chan liveMessage // closed at the end of the stream
	last     string           // id of the last message with parts
}

var streamOf = regexp.MustCompile(`hx-sse:connect="([^"]*)"`)

// streamPath is where the last page gets its changes from.
func (b *browser) streamPath() string {
	b.w.t.Helper()
	match := streamOf.FindStringSubmatch(b.page.body)
	if match == nil {
		b.w.t.Fatalf("the page is not live:\n%s", b.page.body)
	}
	return unescape(match[1])
}

// watch opens a stream.
func (b *browser) watch(path, lastEventID string) *liveReader {
	b.w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", b.w.url+path, nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Cookie", sessionCookie+"="+b.cookie)
	r.Header.Set("Accept", "text/html, text/event-stream")
	r.Header.Set("HX-Request", "true")
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	got, err := b.http.Do(r) //nolint:bodyclose // the goroutine below closes it at the end of the stream
	if err != nil {
		b.w.t.Fatal(err)
	}
	l := &liveReader{t: b.w.t, status: got.StatusCode, messages: make(chan liveMessage, 1000)}
	go func() {
		defer close(l.messages)
		defer got.Body.Close()
		l.read(bufio.NewReader(got.Body))
	}()
	return l
}

func (l *liveReader) read(from *bufio.Reader) {
	var m liveMessage
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			m.at = time.Now()
			l.messages <- m
			m = liveMessage{}
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data += value
		}
	}
}

// next is the next message with parts, or the next beat.
func (l *liveReader) next() liveMessage {
	l.t.Helper()
	over := time.NewTimer(30 * time.Second)
	defer over.Stop()
	select {
	case m, open := <-l.messages:
		if !open {
			l.t.Fatal("the stream ended")
		}
		if m.id != "" {
			l.last = m.id
		}
		return m
	case <-over.C:
		l.t.Fatal("no message")
	}
	return liveMessage{}
}

// until reads on to a message whose parts say this, and returns all parts up to there.
func (l *liveReader) until(text string) (parts []liveMessage) {
	l.t.Helper()
	over := time.Now().Add(time.Minute) // beats come for ever
	for {
		m := l.next()
		if time.Now().After(over) {
			l.t.Fatalf("no message says %q", text)
		}
		if m.event != "" {
			continue
		}
		parts = append(parts, m)
		if strings.Contains(m.data, text) {
			return parts
		}
	}
}

// beats reads so many beats, and returns the parts that came between.
func (l *liveReader) beats(n int) (parts []liveMessage) {
	l.t.Helper()
	for n > 0 {
		m := l.next()
		if m.event == "beat" {
			n--
			continue
		}
		parts = append(parts, m)
	}
	return parts
}

// ended waits for the end of the stream.
func (l *liveReader) ended() {
	l.t.Helper()
	over := time.NewTimer(30 * time.Second)
	defer over.Stop()
	for {
		select {
		case _, open := <-l.messages:
			if !open {
				return
			}
		case <-over.C:
			l.t.Fatal("the stream goes on")
		}
	}
}

// quiet is a world with environments in which nothing happens by itself, known to the board at a high version.
func quiet(t *testing.T, names ...string) (*world, map[string]rollout.Environment) {
	t.Helper()
	w := newWorld(t, false)
	out := map[string]rollout.Environment{}
	for _, name := range names {
		w.environment(name)
		e, _, err := w.store.Environment(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		e.Version = 1_000_000
		out[name] = e
		w.server.Service.Hub.Publish(e)
	}
	return w, out
}

// publish tells the pages that the environment was changed.
func (w *world) publish(e *rollout.Environment, change func(e *rollout.Environment)) {
	change(e)
	e.Version++
	w.server.Service.Hub.Publish(*e)
}

func remark(text string) func(e *rollout.Environment) {
	return func(e *rollout.Environment) { e.Lock = &rollout.Lock{By: "token:anna", Reason: text, At: e.CreatedAt} }
}

// TestLive_ShowsASwitch as soon as it is committed, on the pages of the environment, the overview and the wall.
func TestLive_ShowsASwitch(t *testing.T) {
	t.Parallel()
	w := lively(t)
	b := w.signedIn(Viewer)
	var readers []*liveReader
	wants := []string{"revision 3", "generation 3", `tile-number">3<`, "revision 3"}
	for _, path := range []string{"/environments/shop", "/", "/wall", "/fleet"} {
		b.open(path)
		readers = append(readers, b.watch(b.streamPath(), ""))
		readers[len(readers)-1].beats(1)
	}
	wants[3] = "environment in sync"
	w.promote("shop", 3)
	for i, l := range readers[:3] {
		parts := l.until(wants[i])
		sw := w.route().Switch
		t.Logf("seen %v after the commit", parts[len(parts)-1].at.Sub(sw.CommittedAt))
	}
	// What happened follows: it is read behind what is sent first.
	readers[0].until("Generation 3 is live")
}

// TestLive_SendsOnlyWhatChanged: nothing while nothing does, and then that card alone.
func TestLive_SendsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	w, all := quiet(t, "shop-a", "shop-b")
	b := w.signedIn(Viewer)
	b.open("/")
	l := b.watch(b.streamPath(), "")
	for _, m := range l.beats(3) {
		if strings.Contains(m.data, "#env-") || strings.Contains(m.data, "#cards") {
			t.Errorf("a card is sent that the page has: %s", m.data)
		}
	}
	a := all["shop-a"]
	w.publish(&a, remark("first"))
	for _, m := range l.until(`#env-shop-a`) {
		if strings.Contains(m.data, "#env-shop-b") || strings.Contains(m.data, `hx-target="#cards"`) {
			t.Errorf("more is sent than has changed: %s", m.data)
		}
	}
	mark := l.last
	again := b.watch("/live", mark)
	for _, m := range again.beats(1) {
		if strings.Contains(m.data, "#env-") || strings.Contains(m.data, "#cards") {
			t.Errorf("a page that comes back gets what it has: %s", m.data)
		}
	}
	w.publish(&a, remark("second"))
	later := b.watch("/live", mark).until("#env-shop-a")
	if strings.Contains(later[len(later)-1].data, "#env-shop-b") {
		t.Error("a page that comes back gets more than it missed")
	}
	foreign := b.watch("/live?since=otherprocess.5.x", "").until(`hx-target="#cards"`)
	if !strings.Contains(foreign[0].data, "shop-a") || !strings.Contains(foreign[0].data, "shop-b") {
		t.Errorf("a page of another process does not get everything: %s", foreign[0].data)
	}
}

// TestLive_TellsOfNewEnvironments by drawing the list anew.
func TestLive_TellsOfNewEnvironments(t *testing.T) {
	t.Parallel()
	w, _ := quiet(t, "shop-a")
	b := w.signedIn(Viewer)
	b.open("/?q=shop")
	l := b.watch(b.streamPath(), "")
	l.beats(1)
	w.environment("other")
	w.environment("shop-b")
	parts := l.until(`hx-target="#cards"`)
	if data := parts[len(parts)-1].data; !strings.Contains(data, `id="env-shop-b"`) || strings.Contains(data, `id="env-other"`) {
		t.Errorf("the list is not that of the filter: %s", data)
	}
}

// TestLive_Coalesces: however fast things change, a page gets at most four messages a second after the first two, and
// the last state in the end.
func TestLive_Coalesces(t *testing.T) {
	t.Parallel()
	w, all := quiet(t, "shop")
	b := w.signedIn(Viewer)
	b.open("/environments/shop")
	l := b.watch(b.streamPath(), "")
	l.beats(2)
	e := all["shop"]
	began := time.Now()
	const changes = 500
	for i := range changes {
		w.publish(&e, remark(fmt.Sprintf("change %d.", i)))
	}
	parts := l.until(fmt.Sprintf("change %d.", changes-1))
	took := parts[len(parts)-1].at.Sub(began)
	// Each look is one message of the present, and one more of the past where that has changed.
	if most := 2 * (3 + int(took/liveGap)); len(parts) > most {
		t.Errorf("%d messages in %v, want at most %d", len(parts), took, most)
	}
}

// TestLive_SwitchGoesAhead of the time that a page is given between messages: the quickest of some, since a machine may
// be busy, and without that none would come before.
func TestLive_SwitchGoesAhead(t *testing.T) {
	t.Parallel()
	w, all := quiet(t, "shop")
	b := w.signedIn(Viewer)
	b.open("/environments/shop")
	l := b.watch(b.streamPath(), "")
	l.beats(1)
	e := all["shop"]
	quickest := time.Hour
	for i := range 5 {
		for k := range 3 { // as many as go at once, and one more
			w.publish(&e, remark(fmt.Sprintf("change %d.%d.", i, k)))
			l.until(fmt.Sprintf("change %d.%d.", i, k))
		}
		began := time.Now()
		w.publish(&e, func(e *rollout.Environment) { e.Revision++ })
		parts := l.until(fmt.Sprintf("revision %d<", e.Revision))
		quickest = min(quickest, parts[len(parts)-1].at.Sub(began))
	}
	if quickest > liveGap/2 {
		t.Errorf("a switch is shown after %v at best", quickest)
	}
}

// TestLive_BeginsWithASwitch: it may be the first thing that a page is told.
func TestLive_BeginsWithASwitch(t *testing.T) {
	t.Parallel()
	w, all := quiet(t, "shop")
	b := w.signedIn(Viewer)
	e := all["shop"]
	for range 8 { // which of two signals is taken first is up to chance
		b.open("/environments/shop")
		l := b.watch(b.streamPath(), "")
		l.beats(1)
		w.publish(&e, func(e *rollout.Environment) { e.Revision++ })
		l.until(fmt.Sprintf("revision %d<", e.Revision))
	}
}

// TestLive_DrawsOnceForTheSameRights.
func TestLive_DrawsOnceForTheSameRights(t *testing.T) {
	t.Parallel()
	w, _ := quiet(t, "shop")
	board := w.server.board
	now, err := board.current(t.Context(), Caller{Role: Viewer, Environments: []string{"*"}}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	at := now.standings[0]
	draw := func(caller Caller, at standing) (s scene) {
		board.drawing.together(func() { s = board.cardLocked(caller, at, now) })
		return s
	}
	first := draw(Caller{Role: Viewer, Name: "anna", Environments: []string{"*"}}, at)
	second := draw(Caller{Role: Viewer, Name: "bert", Environments: []string{"shop"}}, at)
	if &first.parts[0].html[0] != &second.parts[0].html[0] {
		t.Error("the same card was drawn twice")
	}
	third := draw(Caller{Role: Admin, Environments: []string{"*"}}, at)
	if &first.parts[0].html[0] == &third.parts[0].html[0] {
		t.Error("an admin gets a viewer's card")
	}
	older := at
	older.version--
	if again := draw(Caller{Role: Viewer}, older); again.version != at.version {
		t.Error("what was drawn went back to an older state")
	}
}
