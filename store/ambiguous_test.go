package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

// cut says where a connection is broken.
type cut int

const (
	beforeCommit cut = iota + 1 // the second round trip never leaves
	insideCommit                // half of it arrives
	afterCommit                 // all of it arrives, then the connection is gone at once
	beforeAnswer                // the server has answered, and nobody hears it
)

// cutter stands between a store and Postgres, and breaks the next connection that commits.
type cutter struct {
	server net.Addr
	listen net.Listener

	mu    sync.Mutex
	next  []cut
	taken int
}

func newCutter(t *testing.T, url string) (c *cutter, through string) {
	t.Helper()
	config := must(pgx.ParseConfig(url))
	socket := filepath.Join(config.Host, ".s.PGSQL."+strconv.Itoa(int(config.Port)))
	c = &cutter{server: &net.UnixAddr{Name: socket, Net: "unix"}, listen: must(net.Listen("tcp", "127.0.0.1:0"))}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := c.listen.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = c.listen.Close()
		running.Wait()
	})
	// Without prepared statements the word COMMIT is in every commit.
	return c, fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable&default_query_exec_mode=exec", config.User, c.listen.Addr(), config.Database)
}

func (c *cutter) arm(cuts ...cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = cuts
}

func (c *cutter) take() (what cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.next) > 0 {
		what, c.next = c.next[0], c.next[1:]
		c.taken++
	}
	return what
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(c.server.Network(), c.server.String())
	if err != nil {
		return
	}
	defer server.Close()
	deaf := make(chan struct{})
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			select {
			case <-deaf:
				return
			default:
			}
			if err != nil {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	c.forward(client, server, deaf, &back)
	_ = server.Close()
	back.Wait()
}

func (c *cutter) forward(client, server net.Conn, deaf chan struct{}, back *sync.WaitGroup) {
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		message, what := buffer[:n], cut(0)
		if bytes.Contains(message, []byte("COMMIT")) {
			what = c.take()
		}
		switch what {
		case beforeCommit:
			return
		case insideCommit:
			message = message[:n/2]
		case beforeAnswer:
			close(deaf)
		}
		if _, err := server.Write(message); err != nil || what == insideCommit || what == afterCommit {
			return
		}
		if what == beforeAnswer {
			back.Wait() // for the first byte of the answer
			return
		}
	}
}

// However a connection breaks at a commit, the command happens once, and its caller gets the answer.
func TestTransact_ConnectionLostAtCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	cutter, url := newCutter(t, w.url)
	s := w.open(func(o *store.Options) { o.URL = url })
	plans := [][]cut{{beforeCommit}, {insideCommit}, {afterCommit}, {beforeAnswer}, {beforeAnswer, beforeCommit}, {afterCommit, insideCommit},
		{insideCommit, beforeAnswer}, {beforeCommit, afterCommit, beforeAnswer}}
	revision := int64(1)
	for round := range 10 {
		for i, plan := range plans {
			share := 1 + (round*len(plans)+i)%50
			cmd := controller.Command{Environment: "shop"}
			if i%2 == round%2 {
				cmd.Key = keyed(fmt.Sprint("key ", round, i), "weights")
			}
			cutter.arm(plan...)
			out, err := s.Transact(t.Context(), cmd, weights(share, revision))
			cutter.arm()
			revision++
			if err != nil || out.Revision != revision || !out.Changed || out.Environment.Weights[2] != share {
				t.Fatalf("round %d, %v: %+v, %v", round, plan, out.Answer, err)
			}
			if cmd.Key == nil {
				continue
			}
			again, err := s.Transact(t.Context(), cmd, weights(share, revision))
			if err != nil || !again.Replayed || again.Revision != revision {
				t.Fatalf("replay after %v: %+v, %v", plan, again.Answer, err)
			}
		}
	}
	t.Logf("%d connections were cut", cutter.taken)
	if n := int64(w.count("SELECT count(*) FROM switch WHERE environment = 'shop'")); n != revision || cutter.taken < 50 {
		t.Errorf("%d switches for %d revisions, %d cuts", n, revision, cutter.taken)
	}
	verify(t, w, "shop")
}

func weights(share int, expected int64) controller.Decision {
	return func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.SetWeights(rollout.WeightsCommand{Actor: alice, Weights: rollout.Weights{1: 100 - share, 2: share}, ExpectedRevision: &expected}, now)
	}
}

// Facts that were recorded although nobody heard so are recorded again without harm.
func TestRecord_ConnectionLostAtCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("shop", promote(2))
	cutter, url := newCutter(t, w.url)
	s := w.open(func(o *store.Options) { o.URL = url })
	e, _, err := w.Environment(t.Context(), "shop")
	w.must(err)
	for _, what := range []cut{beforeAnswer, afterCommit, insideCommit, beforeCommit} {
		cutter.arm(what)
		e, err = s.Record(t.Context(), "shop", 0, rollout.Facts{Receipts: []rollout.Receipt{receiptOf(e)}})
		if err != nil || e.Switch.Status != rollout.Applied {
			t.Fatalf("cut %d: %v", what, err)
		}
	}
	if n := w.count("SELECT count(*) FROM event WHERE kind = 'switch.applied'"); n != 2 {
		t.Errorf("%d switches were applied", n)
	}
}

// When nobody is left to ask, the error says that the outcome is not known.
func TestTransact_OutcomeUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	cutter, url := newCutter(t, w.url)
	s := w.open(func(o *store.Options) { o.URL, o.CallTimeout = url, time.Second })
	cutter.arm(beforeAnswer)
	key := keyed("k", "b")
	_, err := s.Transact(t.Context(), controller.Command{Environment: "shop", Key: key}, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		_ = cutter.listen.Close()
		return promote(2)(e, now)
	})
	if !errors.Is(err, store.ErrOutcomeUnknown) || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if out := must(w.Transact(t.Context(), controller.Command{Environment: "shop", Key: key}, promote(2))); !out.Replayed || out.Revision != 2 {
		t.Fatalf("the key tells %+v", out)
	}
}

func TestStore_DatabaseAway(t *testing.T) {
	t.Parallel()
	url := "postgres://nobody@127.0.0.1:1/none"
	s := must(store.Open(t.Context(), store.Options{URL: url, CallTimeout: 2 * time.Second}))
	defer s.Close()
	for name, call := range map[string]func(ctx context.Context) error{
		"ping":     s.Ping,
		"prune":    s.Prune,
		"versions": func(ctx context.Context) error { _, err := s.Versions(ctx); return err },
		"transact": func(ctx context.Context) error {
			_, err := s.Transact(ctx, controller.Command{Environment: "shop"}, promote(1))
			return err
		},
		"record": func(ctx context.Context) error { _, err := s.Record(ctx, "shop", 0, rollout.Facts{}); return err },
	} {
		if err := call(t.Context()); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrOutcomeUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := store.Open(t.Context(), store.Options{URL: "postgres://u:p@secret%zz@h/v"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a bad URL: %v", err)
	}
}
