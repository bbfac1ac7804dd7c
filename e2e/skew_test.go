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
	UPDATE switch s SET kind = 'mirror' WHERE environment = 'new' AND revision = 2 OR environment = 'shop' AND revision = 1;
	ALTER TABLE switch ENABLE TRIGGER USER;
	ALTER TABLE event DISABLE TRIGGER USER;
	UPDATE event SET kind = 'mirror.begun' WHERE id = (SELECT max(id) FROM event);
	ALTER TABLE event ENABLE TRIGGER USER;`

// TestSkew: this version runs on the schema of the next one, as the previous one has to run on this one's: whether it
// was running or starts anew. An environment whose present switch it does not understand it serves and shows, and
// leaves every command on it to replicas of that version. The others go on as ever.
func TestSkew(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	running, restarted := l.replica("a"), l.replica("b")
	running.start("")
	restarted.start("")
	running.ready()
	restarted.ready()
	replicas := []*replica{running, restarted}
	s, foreign := running.shop("shop"), running.shop("new")
	stream := s.streamFrom(0)
	for _, s := range []*shop{s, foreign} {
		s.promote(s.candidate())
		s.promote(s.candidate())
		s.eventually("the switch comes to its end", func() bool { return s.switches()[0].DrainedAt != nil })
	}

	l.sql(nextVersion)
	l.sql("INSERT INTO mirror VALUES ('shop', 5)")
	restarted.kill()
	restarted.start("")
	restarted.ready()
	l.eventually("the restarted replica is in order", s.on(restarted).inOrder)

	for _, r := range replicas {
		foreign.leftAlone(r)
		on := s.on(r)
		if all := on.switches(); all[len(all)-1].Kind != "mirror" {
			t.Errorf("replica %s shows the first switch as %+v", r.name, all[len(all)-1])
		}
		c := &cycle{shop: on} // register, promote, rollback, validate and retire
		for range 3 {
			c.next()
		}
		s.last = on.last
		res, err := on.client.RetireGenerationWithResponse(t.Context(), s.name, *on.route().Previous, nil, client.RetireRequest{})
		if err != nil || res.JSON202 == nil {
			t.Errorf("retire on replica %s: %v %s", r.name, err, body(res))
		}
	}
	known := false
	for _, e := range s.allEvents() {
		known = known || e.Kind == "mirror.begun"
	}
	if !known {
		t.Error("the event of a kind that is not known is not shown")
	}
	if n := l.number("SELECT count(*) FROM switch WHERE kind = 'mirror' AND status = 'applied'"); n != 2 {
		t.Errorf("%d switches of the kind that is not known are as they were, want 2", n)
	}
	if n := l.number("SELECT rate FROM mirror"); n != 5 {
		t.Error("a table that is not known was changed")
	}
	stream.await(t, "id: "+lastID(s))
}

// leftAlone checks that the replica serves and shows the environment, and refuses to change it.
func (s *shop) leftAlone(r *replica) {
	s.Helper()
	on := s.on(r)
	if generation, status := on.ask(); generation != 2 {
		s.Errorf("replica %s answers by generation %d with status %d, want 2", r.name, generation, status)
	}
	if sw := on.switches()[0]; sw.Revision != 2 || sw.Kind != "mirror" {
		s.Errorf("replica %s shows the present switch as %+v", r.name, sw)
	}
	if route := on.route(); route.Revision != 2 || number(route.Live) != 2 {
		s.Errorf("replica %s shows the route %+v", r.name, route)
	}
	from := 2
	res, err := on.client.RollbackWithResponse(s.Context(), s.name, nil, client.RollbackRequest{From: &from})
	if err != nil || res.ApplicationproblemJSONDefault == nil || res.ApplicationproblemJSONDefault.Code != client.CodeUnavailable ||
		!strings.Contains(res.ApplicationproblemJSONDefault.Detail, "newer version") {
		s.Errorf("replica %s answers a rollback on top of a switch that it does not understand with %v %s", r.name, err, body(res))
	}
	if n := s.lab.number("SELECT revision FROM environment WHERE name = $1", s.name); n != 2 {
		s.Errorf("replica %s has changed the environment: revision %d", r.name, n)
	}
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
	res, err := quiet.Do(q) //nolint:bodyclose // it is closed when the test ends
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
