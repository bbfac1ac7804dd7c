package server

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/store"
)

// stream is an open event stream.
type stream struct {
	t      *testing.T
	status int
	events chan api.Event // closed at the end of the stream
}

func (w *world) stream(token, query string, header map[string]string) *stream {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", w.url+"/v1/events/stream"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	got, err := w.http.Do(r) //nolint:bodyclose // the goroutine below closes it at the end of the stream
	if err != nil {
		w.t.Fatal(err)
	}
	s := &stream{t: w.t, status: got.StatusCode, events: make(chan api.Event, 1000)}
	go func() {
		defer close(s.events)
		defer got.Body.Close()
		var id string
		for lines := bufio.NewScanner(got.Body); lines.Scan(); {
			if line, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = line
			}
			if line, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var e api.Event
				if err := json.Unmarshal([]byte(line), &e); err != nil || strconv.FormatInt(e.Id, 10) != id {
					w.t.Errorf("event %s is %s (%v)", id, line, err)
				}
				s.events <- e
			}
		}
	}()
	return s
}

// next is the next event.
func (s *stream) next() api.Event {
	s.t.Helper()
	select {
	case e, open := <-s.events:
		if !open {
			s.t.Fatal("the stream ended")
		}
		return e
	case <-time.After(10 * time.Second):
		s.t.Fatal("no event")
	}
	return api.Event{}
}

// ended waits for the end of the stream.
func (s *stream) ended() {
	s.t.Helper()
	over := time.After(10 * time.Second)
	for {
		select {
		case _, open := <-s.events:
			if !open {
				return
			}
		case <-over:
			s.t.Fatal("the stream goes on")
		}
	}
}

func (w *world) lock(environment, reason string) {
	w.t.Helper()
	w.ok("PUT", "/v1/environments/"+environment+"/lock", `{"reason": "`+reason+`"}`)
}

// Whoever saw ids that the database has lost hears what happens from now on.
func TestStream_AfterARestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	resumed := w.stream(w.admin(), "?environment=shop", map[string]string{"Last-Event-ID": "1000000"})
	w.lock("shop", "one")
	if e := resumed.next(); e.Kind != "lock.set" {
		t.Errorf("the first event is %s", e.Kind)
	}
	last, err := w.store.LastEventID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := &eventStream{server: w.server, ctx: t.Context(), filter: store.EventFilter{After: last + 1000}}
	for range 2 {
		if open.rewind(); open.filter.After != last {
			t.Errorf("an open stream waits for what follows %d, the last event is %d", open.filter.After, last)
		}
	}
}

func TestStream_BeginsNowAndResumesWithoutAGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	live := w.stream(w.admin(), "?environment=shop", nil)
	w.lock("shop", "one")
	first := live.next()
	if first.Kind != "lock.set" || string(first.Data) != `{"reason":"one"}` {
		t.Errorf("the first event is %s %s, not the first since the stream began", first.Kind, first.Data)
	}
	for _, reason := range []string{"two", "three", "four"} {
		w.lock("shop", reason)
	}
	id := strconv.FormatInt(first.Id, 10)
	for name, resumed := range map[string]*stream{
		"after":         w.stream(w.admin(), "?environment=shop&after="+id, nil),
		"Last-Event-ID": w.stream(w.admin(), "?environment=shop&after=0", map[string]string{"Last-Event-ID": id}),
	} {
		for i := range int64(3) {
			if e := resumed.next(); e.Id != first.Id+1+i {
				t.Errorf("resumed by %s: event %d, want %d", name, e.Id, first.Id+1+i)
			}
		}
	}
}

func TestStream_FromTheBeginningInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	w.sql(`SET session_replication_role = replica`) // for what no chain would take
	w.sql(`INSERT INTO event_chain (environment, length, head) VALUES ('old', 450, '')`)
	w.sql(`INSERT INTO event (id, environment, position, kind, actor, at, revision, generation, data, prev_hash, hash)
		SELECT 1000 + n, 'old', n, 'lock.set', 'token:x', now(), 0, 0, '{}', n::text, repeat('0', 64) FROM generate_series(1, 450) n`)
	s := w.stream(w.admin(), "?environment=old&after=0", nil)
	for i := range int64(450) {
		if e := s.next(); e.Id != 1001+i {
			t.Fatalf("event %d, want %d", e.Id, 1001+i)
		}
	}
}

func TestStream_ShowsOnlyWhatTheTokenMaySee(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop-a")
	w.environment("other")
	s := w.stream(w.token(Viewer, "shop-*"), "", nil)
	w.lock("other", "hidden")
	w.token(Viewer, "made-meanwhile")
	w.lock("shop-a", "seen")
	if e := s.next(); e.Environment != "shop-a" {
		t.Errorf("the stream shows an event of %q", e.Environment)
	}
	if other := w.stream(w.token(Viewer, "shop-*"), "?environment=other", nil); other.status != 403 {
		t.Errorf("a stream of another environment: %d", other.status)
	}
}

func TestStream_EndsWithItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	token := w.token(Viewer, "*")
	s := w.stream(token, "", nil)
	id, _, _ := rollout.ParseToken(token)
	if _, err := w.store.DeleteToken(t.Context(), id, rollout.System, nil); err != nil {
		t.Fatal(err)
	}
	s.ended()
}

// TestShutdown_EndsStreamsAndWaits: what waits is told how far things are, what streams ends.
func TestShutdown_EndsStreamsAndWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.environment("shop")
	w.ready("shop")
	w.stop()
	s := w.stream(w.admin(), "?environment=shop", nil)
	waiting := make(chan answer, 1)
	go func() {
		a, err := w.try(request{Method: "POST", Path: generations + "/1/promote?timeout=5m", Body: "{}", Token: w.admin()})
		if err != nil {
			t.Error(err)
		}
		waiting <- a
	}()
	s.next() // the switch is committed: the request waits for it
	w.server.shutdown()
	s.ended()
	select {
	case a := <-waiting:
		if a.status != 202 {
			t.Errorf("a wait at the end: %d %s", a.status, a.body)
		}
	case <-time.After(10 * time.Second):
		t.Error("a wait holds the server up")
	}
}
