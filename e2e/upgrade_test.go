package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"viridian/client"
	"viridian/rollout"
	"viridian/router/routertest"
)

// TestProveUpgrade replaces the process of one of two replicas by new ones, while traffic of all kinds goes through it
// and promotes go on: nothing fails, nothing is stale, the address always serves, and the node never signs off.
func TestProveUpgrade(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newLab(t)
	l.timing.shutdownDelay = time.Second
	a, b := l.replica("a"), l.replica("b")
	a.start("")
	a.outlived()
	b.start("")
	a.ready()
	b.ready()
	s := b.shop("shop")
	s.promote(s.candidate())

	traffic, uploads := s.on(a).load(4, 2), s.on(a).uploads(2)
	watch := a.watchPages("/readyz", "/readyz/proxy")
	upgrades := count(5, 50)
	done := make(chan error, 1)
	go func() { done <- a.upgrades(upgrades) }()
	c := &cycle{shop: s}
	var failed error
	for going := true; going; {
		select {
		case failed = <-done:
			going = false
		default:
			c.nextAnyhow()
		}
	}
	if failed != nil {
		t.Fatal(failed)
	}
	c.nextAnyhow() // the last process follows, too
	slow := uploads.stop()
	answers := append(traffic.Stop(), slow...)
	v := routertest.Check(answers, s.flips)
	if !v.Clean() || len(slow) < upgrades {
		t.Errorf("%v; %d uploads", v, len(slow))
	}
	asked, refused := watch()
	if refused > 0 {
		t.Errorf("%d of %d times the API did not say that it is ready", refused, asked)
	}
	for _, e := range s.allEvents() {
		if e.Kind == rollout.EventNodeRemoved {
			t.Errorf("a node was signed off: %+v", e)
		}
	}
	s.audit()
	report(t, "%d upgrades of a replica by handing over its sockets: %d requests (%d with slow bodies) over %d switches, %d failed, %d stale; asked %d times, the API was always ready; %v",
		upgrades, v.Requests, len(slow), len(s.flips), v.Failed, v.Stale, asked, since(began))
}

// outlived ends what comes after the replica's process, too: at the end of the test, and should the test process die.
func (r *replica) outlived() {
	r.Helper()
	group := strconv.Itoa(r.cmd.Process.Pid)
	guard := exec.Command("sh", "-c", `read -r _; kill -KILL "-$1"`, "sh", group)
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the test, whose end is for the guard
	stdin, err := guard.StdinPipe()
	if err != nil {
		r.Fatal(err)
	}
	if err := guard.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = stdin.Close()
		_ = guard.Wait() // when the group is empty, it says so
	})
}

// holder is the process that serves as the replica now, by its state folder.
func (r *replica) holder() int {
	text, _ := os.ReadFile(filepath.Join(filepath.Dir(r.config), "state", "serve.pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// upgrades replaces the replica's process so many times, each time when the one before it has ended.
func (r *replica) upgrades(times int) error {
	for i := range times {
		old := r.holder()
		if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
			return fmt.Errorf("upgrade %d of process %d: %w", i+1, old, err)
		}
		if !within(patience, func() bool { now := r.holder(); return now != old && now != 0 && !alive(old) }) {
			return fmt.Errorf("upgrade %d: process %d is there: %v; the folder belongs to %d", i+1, old, alive(old), r.holder())
		}
	}
	return nil
}

// alive says whether a process runs. One that has ended and that nobody has asked about does not.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	_, rest, _ := strings.Cut(string(status), ") ")
	return !strings.HasPrefix(rest, "Z") && syscall.Kill(pid, 0) == nil
}

// nextAnyhow is next while nodes come and go: what is refused since a node has not staged yet is asked again.
func (c *cycle) nextAnyhow() {
	c.Helper()
	if c.candidate != 0 && !c.up || c.candidate == 0 {
		c.prepare()
		c.eventually("the candidate can be promoted", func() bool { return c.promotable(c.candidate) })
	}
	begun := time.Now()
	var sw *client.Switch
	var last []byte
	if !within(patience, func() bool {
		if c.up {
			res, err := c.client.RollbackWithResponse(c.Context(), c.name, nil, client.RollbackRequest{From: &c.candidate})
			if err != nil {
				c.Fatal(err)
			}
			sw, last = res.JSON200, res.Body
		} else {
			res, err := c.client.PromoteGenerationWithResponse(c.Context(), c.name, c.candidate, nil, client.PromoteRequest{})
			if err != nil {
				c.Fatal(err)
			}
			sw, last = res.JSON200, res.Body
		}
		return sw != nil
	}) {
		c.Fatalf("generation %d, live: %v: %s", c.candidate, c.up, last)
	}
	c.flipped(begun, *sw)
	c.up = !c.up
}

// allEvents lists the audit log of the whole installation.
func (s *shop) allEvents() []client.Event {
	s.Helper()
	var all []client.Event
	for after := int64(0); ; after = all[len(all)-1].Id {
		res, err := s.client.ListEventsWithResponse(s.Context(), &client.ListEventsParams{After: &after, Limit: ptr(200)})
		if err != nil || res.JSON200 == nil {
			s.Fatalf("list events: %v %s", err, body(res))
		}
		all = append(all, res.JSON200.Items...)
		if res.JSON200.NextCursor == nil {
			return all
		}
	}
}

// watchPages asks for operational pages until the function that it returns is called, which tells how often that was,
// and how often the answer was not 200.
func (r *replica) watchPages(paths ...string) (stop func() (asked, refused int64)) {
	var over atomic.Bool
	var asked, refused atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; !over.Load(); i++ {
			asked.Add(1)
			if r.status(paths[i%len(paths)]) != http.StatusOK {
				refused.Add(1)
			}
			<-tick.C
		}
	}()
	return func() (int64, int64) {
		over.Store(true)
		<-done
		return asked.Load(), refused.Load()
	}
}

// slowLoad is clients that send their body bit by bit.
type slowLoad struct {
	over    atomic.Bool
	answers []chan []routertest.Answer
}

const slowBody = 600 * time.Millisecond

func (s *shop) uploads(clients int) *slowLoad {
	load := &slowLoad{}
	for range clients {
		out := make(chan []routertest.Answer, 1)
		load.answers = append(load.answers, out)
		go func() {
			var all []routertest.Answer
			for !load.over.Load() {
				a := routertest.Answer{Start: time.Now()}
				a.Generation, a.Err = s.upload()
				a.End = time.Now()
				all = append(all, a)
			}
			out <- all
		}()
	}
	return load
}

func (l *slowLoad) stop() []routertest.Answer {
	l.over.Store(true)
	var all []routertest.Answer
	for _, out := range l.answers {
		all = append(all, <-out...)
	}
	return all
}

// upload sends one slow body on a connection of its own and returns the generation that sent it back.
func (s *shop) upload() (int, error) {
	from, to := io.Pipe()
	go func() {
		const parts = 6
		tick := time.NewTicker(slowBody / parts)
		defer tick.Stop()
		for range parts {
			if _, err := to.Write([]byte("part\n")); err != nil {
				return
			}
			<-tick.C
		}
		_ = to.Close()
	}()
	q, err := http.NewRequest(http.MethodPost, "http://"+s.proxy+"/body", from)
	if err != nil {
		return 0, err
	}
	q.Host = s.host
	res, err := quiet.Do(q)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	back, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || len(back) != 30 {
		return 0, fmt.Errorf("an upload is answered with %d and %d bytes: %w", res.StatusCode, len(back), err)
	}
	return strconv.Atoi(res.Header.Get(routertest.GenerationHeader))
}
