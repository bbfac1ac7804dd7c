package e2e

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"viridian/client"
)

// nextVersion is what a later version of the program may do to the schema while this one still runs on it: it widens,
// and takes nothing away. What it widens for is there at once.
const nextVersion = `
	UPDATE schema_migrations SET version = version + 1;
	ALTER TABLE environment ADD COLUMN region text NOT NULL DEFAULT 'here';
	ALTER TABLE generation ADD COLUMN note text;
	ALTER TABLE node ADD COLUMN zone text NOT NULL DEFAULT '';
	ALTER TABLE event ADD COLUMN trace text;
	CREATE TABLE mirror (environment text PRIMARY KEY REFERENCES environment (name), rate integer NOT NULL);
	CREATE INDEX ON generation (note);
	ALTER TABLE switch ADD COLUMN shadow integer;
	ALTER TABLE switch DROP CONSTRAINT switch_kind;
	ALTER TABLE switch DISABLE TRIGGER USER;
	UPDATE switch SET kind = 'mirror' WHERE revision = (SELECT max(revision) FROM switch);
	ALTER TABLE switch ENABLE TRIGGER USER;
	ALTER TABLE event DISABLE TRIGGER USER;
	UPDATE event SET kind = 'mirror.begun' WHERE id = (SELECT max(id) FROM event);
	ALTER TABLE event ENABLE TRIGGER USER;`

// TestSkew: this version runs on the schema of the next one, as the previous one has to run on this one's: whether it
// was running or starts anew. What it does not know it shows, and leaves alone.
func TestSkew(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	running, restarted := l.replica("a"), l.replica("b")
	running.start("")
	restarted.start("")
	running.ready()
	restarted.ready()
	s := running.shop("shop")
	s.promote(s.candidate())
	stream := s.streamFrom(0)
	first := s.candidate()
	s.promote(first)
	revision := s.route().Revision
	s.eventually("the switch comes to its end", func() bool { return s.switches()[0].DrainedAt != nil })

	l.sql(nextVersion)
	l.sql("INSERT INTO mirror VALUES ('shop', 5)")
	restarted.kill()
	restarted.start("")
	restarted.ready()
	l.eventually("the restarted replica is in order", s.on(restarted).inOrder)

	if sw := s.switches()[0]; sw.Revision != revision || sw.Kind != "mirror" {
		t.Errorf("the switch of a kind that is not known is shown as %+v", sw)
	}
	known := false
	for _, e := range s.events() {
		known = known || e.Kind == "mirror.begun"
	}
	if !known {
		t.Error("the event of a kind that is not known is not shown")
	}
	replicas := []*replica{running, restarted}
	for _, r := range replicas {
		if generation, status := s.on(r).ask(); generation != first {
			t.Errorf("replica %s answers by generation %d with status %d", r.name, generation, status)
		}
	}
	for _, r := range replicas { // register, promote, rollback, validate and retire go on over both
		on := s.on(r)
		c := &cycle{shop: on}
		for range 3 {
			c.next()
		}
		s.last = on.last
		res, err := on.client.RetireGenerationWithResponse(t.Context(), s.name, *on.route().Previous, nil, client.RetireRequest{})
		if err != nil || res.JSON202 == nil {
			t.Errorf("retire on replica %s: %v %s", r.name, err, body(res))
		}
	}
	if n := l.number("SELECT count(*) FROM switch WHERE kind = 'mirror' AND status = 'applied'"); n != 1 {
		t.Errorf("%d switches of the kind that is not known are as they were, want 1", n)
	}
	if n := l.number("SELECT rate FROM mirror"); n != 5 {
		t.Error("a table that is not known was changed")
	}
	stream.await(t, "id: "+lastID(s))
}

func lastID(s *shop) string {
	events := s.allEvents()
	return int64Text(events[len(events)-1].Id)
}

// eventLines is an open event stream.
type eventLines struct{ lines chan string }

// streamFrom follows the events after that one, as a client does that stays connected.
func (s *shop) streamFrom(after int64) *eventLines {
	s.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.Context()))
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.api+"/v1/events/stream?after="+int64Text(after), nil)
	if err != nil {
		s.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+s.token)
	res, err := quiet.Do(q)
	if err != nil || res.StatusCode != http.StatusOK {
		s.Fatalf("open the event stream: %v %v", err, res)
	}
	e := &eventLines{lines: make(chan string, 10_000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(e.lines)
		for scanner := bufio.NewScanner(res.Body); scanner.Scan(); {
			e.lines <- scanner.Text()
		}
	}()
	s.Cleanup(func() {
		cancel()
		_ = res.Body.Close()
		<-done
	})
	return e
}

// await reads until the line comes.
func (e *eventLines) await(t *testing.T, want string) {
	t.Helper()
	found := make(chan bool, 1)
	go func() {
		for line := range e.lines {
			if strings.TrimSpace(line) == want {
				found <- true
				return
			}
		}
		found <- false
	}()
	if !within(patience, func() bool { return len(found) > 0 }) || !<-found {
		t.Errorf("the event stream ends without %q", want)
	}
}

func int64Text(n int64) string { return strconv.FormatInt(n, 10) }
