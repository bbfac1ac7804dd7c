package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	// liveGap is the time between messages to one page while changes come faster than that: then they go together.
	// After a quiet time two go out at once, so that a reader is not late by a change of numbers.
	liveGap = 250 * time.Millisecond
	// liveHurry is how far a switch may go ahead of that: it is what people wait for.
	liveHurry = time.Second
	// livePace is how many bytes a second a page is given on the long run, so that it does not keep a browser busy that
	// shows many environments; and liveLongest how long it waits at most for that.
	livePace    = 400_000
	liveLongest = time.Second
	// liveBeat is how often a page hears that it is up to date.
	liveBeat = 2 * time.Second
	// liveAuth is how often a stream looks whether its reader may still read.
	liveAuth = 5 * time.Second
)

// livePage is what is live on one kind of page.
type livePage struct {
	environment string // the one that it is about; empty for all
	kept        bool   // reading it is using the session
	// shape names the list of things that are on the page. A page of another shape is drawn as a whole. It is called
	// under the lock of the drawing.
	shape func(now seen) string
	// parts lists what the page consists of now; as a whole, the lists are among them, and what they hold is marked as
	// included. It is called under the lock of the drawing. What costs another look at the database is left to later,
	// which is called without it; nil for none.
	parts func(ctx context.Context, now seen, whole bool) (parts []part, later func() []part)
}

// live answers with what changes on a page, for as long as somebody reads; with poll=1 with what has changed since.
func (s *server) live(w http.ResponseWriter, r *http.Request, page livePage) error {
	l := &liveStream{server: s, page: page, caller: callOf(r.Context()).caller, sent: map[string]uint64{}}
	if r.URL.Query().Get("poll") != "" {
		return l.answer(w, r)
	}
	return l.run(w, r)
}

// liveStream is one reader of one page. It belongs to the request's goroutine.
type liveStream struct {
	*server
	page   livePage
	caller Caller
	sent   map[string]uint64 // sum of each part that the page has
	have   int64             // the page came with all parts up to this one
	shape  string            // that the page has
	next   time.Time         // when the next message with parts would go if they went evenly
	hurry  bool              // the next one shows a switch
}

// answer is the whole of a poll.
func (l *liveStream) answer(w http.ResponseWriter, r *http.Request) error {
	now, err := l.board.current(r.Context(), l.caller, l.page.environment)
	if err != nil {
		return err
	}
	l.resume(r.URL.Query().Get("since"))
	parts, later, mark := l.take(r.Context(), now)
	if later != nil {
		parts = append(parts, later()...)
	}
	text := l.changed(parts)
	beat, err := json.Marshal(map[string]json.RawMessage{"beat": l.beat(now, mark)})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("HX-Trigger", string(beat))
	_, _ = w.Write(text) // the reader may have gone
	return nil
}

// run streams until the reader goes, may not read any more, or the server stops.
func (l *liveStream) run(w http.ResponseWriter, r *http.Request) error {
	watcher, done := l.board.watch(l.page.environment)
	defer done()
	if _, err := l.board.current(r.Context(), l.caller, l.page.environment); err != nil {
		return err
	}
	since := r.Header.Get("Last-Event-ID")
	if since == "" {
		since = r.URL.Query().Get("since")
	}
	l.resume(since)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a buffering proxy in front would hold changes back
	w.WriteHeader(http.StatusOK)
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Time{}) // where there are deadlines
	beat, auth := l.Clock.NewTicker(liveBeat), l.Clock.NewTicker(liveAuth)
	defer beat.Stop()
	defer auth.Stop()
	if l.step(r.Context(), w, connection, true) != nil {
		return nil // the reader has gone
	}
	for {
		beating, ok := l.pause(r, watcher, beat, auth)
		if !ok {
			return nil
		}
		if l.step(r.Context(), w, connection, beating) != nil {
			return nil
		}
	}
}

// pause waits for the next look; false when the stream ends.
func (l *liveStream) pause(r *http.Request, watcher *watcher, beat, auth clockwork.Ticker) (beating, ok bool) {
	for {
		select {
		case <-watcher.wake:
			return false, l.gap(r, watcher)
		case <-beat.Chan():
			return true, true
		case <-auth.Chan():
			if !l.mayRead(r) {
				return false, false
			}
		case <-r.Context().Done():
			return false, false
		case <-l.running.Done():
			return false, false
		}
	}
}

// gap waits until another message may go.
func (l *liveStream) gap(r *http.Request, watcher *watcher) bool {
	timer := l.Clock.NewTimer(l.rest())
	defer timer.Stop()
	for {
		select {
		case <-watcher.switched:
			l.hurry = true
			timer.Reset(l.rest())
		case <-timer.Chan():
			return true
		case <-r.Context().Done():
			return false
		case <-l.running.Done():
			return false
		}
	}
}

// rest is how long the next message has to wait.
func (l *liveStream) rest() time.Duration {
	rest := max(l.next.Add(-liveGap).Sub(l.Clock.Now()), 0) // before the first message, next is ages ago
	if l.hurry {
		rest -= liveHurry
	}
	return max(rest, 0)
}

// mayRead says whether the reader is still signed in, with a session and a token that have not ended. A database that
// does not answer keeps nobody out.
func (l *liveStream) mayRead(r *http.Request) bool {
	again := &call{}
	err := l.openSession(again, &page{stream: true, kept: l.page.kept}, r)
	return err != nil || again.session != nil
}

// step sends what has changed, and a beat with it or when one is due.
func (l *liveStream) step(ctx context.Context, w http.ResponseWriter, connection *http.ResponseController, beating bool) error {
	now := l.board.see(l.caller, l.page.environment)
	l.hurry = false
	parts, later, mark := l.take(ctx, now)
	text := l.changed(parts)
	if later != nil {
		if len(text) > 0 { // what is known goes first
			if err := l.send(w, connection, l.message(now, mark, text)); err != nil {
				return err
			}
		}
		text = l.changed(later())
	}
	if len(text) == 0 && !beating {
		return nil
	}
	return l.send(w, connection, l.message(now, mark, text))
}

// take lists the parts of the page, as a whole when its shape is not the one that was sent. Whoever has got them, and
// all before, has what the mark names.
func (l *liveStream) take(ctx context.Context, now seen) (parts []part, later func() []part, mark int64) {
	mark = l.board.drawing.together(func() {
		shape := l.page.shape(now)
		whole := shape != l.shape
		if whole {
			l.shape, l.have = shape, 0
			clear(l.sent)
		}
		parts, later = l.page.parts(ctx, now, whole)
	})
	return parts, later, mark
}

// changed writes the parts that the page has not, as htmx takes them.
func (l *liveStream) changed(parts []part) []byte {
	var out bytes.Buffer
	for _, p := range parts {
		sum, sent := l.sent[p.id]
		l.sent[p.id] = p.sum
		if sent && sum == p.sum || !sent && p.seq != 0 && p.seq <= l.have || p.included {
			continue
		}
		swap := "innerMorph"
		if p.whole {
			swap = "outerMorph"
		}
		fmt.Fprintf(&out, `<hx-partial hx-target="#%s" hx-swap="%s">%s</hx-partial>`, p.id, swap, p.html)
	}
	return out.Bytes()
}

// message is a beat, and before it the changed parts if there are any.
func (l *liveStream) message(now seen, mark int64, text []byte) []byte {
	var out bytes.Buffer
	if len(text) > 0 {
		if now := l.Clock.Now(); l.next.Before(now) {
			l.next = now
		}
		l.next = l.next.Add(min(max(liveGap, time.Duration(len(text))*time.Second/livePace), liveLongest))
		fmt.Fprintf(&out, "id: %s\n", l.board.mark(mark, l.shape))
		for line := range bytes.Lines(text) {
			out.WriteString("data: ")
			out.Write(bytes.TrimRight(line, "\r\n"))
			out.WriteByte('\n')
		}
		out.WriteByte('\n')
	}
	fmt.Fprintf(&out, "event: beat\ndata: %s\n\n", l.beat(now, mark))
	return out.Bytes()
}

// beat tells a page how old what it shows is.
func (l *liveStream) beat(now seen, mark int64) json.RawMessage {
	text, err := json.Marshal(map[string]any{"at": now.at.UTC().Format("2006-01-02T15:04:05.000Z"), "age": now.age.Milliseconds(), "seq": l.board.mark(mark, l.shape)})
	if err != nil {
		panic(err) // these can be encoded
	}
	return text
}

// mark names what a page has that got everything up to a part: of which process, and in which shape.
func (b *board) mark(seq int64, shape string) string {
	return b.boot + "." + strconv.FormatInt(seq, 10) + "." + shape
}

// resume takes up a page that has what the mark names.
func (l *liveStream) resume(mark string) {
	boot, rest, _ := strings.Cut(mark, ".")
	seq, shape, _ := strings.Cut(rest, ".")
	have, err := strconv.ParseInt(seq, 10, 64)
	if err == nil && boot == l.board.boot {
		l.shape, l.have = shape, have
	}
}

func (l *liveStream) send(w http.ResponseWriter, connection *http.ResponseController, text []byte) error {
	_ = connection.SetWriteDeadline(time.Now().Add(streamWrite)) // where there are deadlines
	if _, err := w.Write(text); err != nil {
		return err
	}
	return connection.Flush()
}
