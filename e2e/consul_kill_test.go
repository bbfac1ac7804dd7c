package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"viridian/client"
	"viridian/failpoint"
	"viridian/registry/consultest"
)

// consulKillAt are the failpoints on the way into Consul and out of it.
var consulKillAt = []failpoint.Name{
	failpoint.RegisterBefore, failpoint.RegisterActed, failpoint.RegisterRecorded,
	failpoint.DeregisterBefore, failpoint.DeregisterActed, failpoint.DeregisterRecorded,
}

// TestProveConsulKill kills the program at every failpoint of registering and unregistering, and a large group's
// registration before and behind each of its transactions. After a start without any, the group is whole in Consul, or
// gone, and never was what validated a part of.
func TestProveConsulKill(t *testing.T) {
	t.Parallel()
	t.Run("failpoints", func(t *testing.T) {
		t.Parallel()
		began, kills := time.Now(), 0
		l := newConsulLab(t, consultest.WithACL(t))
		r := l.replica("a")
		r.start("")
		r.ready()
		s := l.shop(r, "shop", 3)
		s.promote(s.candidate())
		for range count(1, 10) {
			for _, name := range consulKillAt {
				number := s.killedAt(name)
				s.whole(number)
				left := s.size
				if !registers(name) {
					s.retire(number)
					left = 0
				}
				if passing, all := s.catalog(); all[number] != left || passing[1] != 3 || all[1] != 3 {
					t.Errorf("killed at %s: the catalog has %v, of which %v pass", name, all, passing)
				}
				kills++
			}
		}
		s.leaveNothing()
		report(t, "killed -9 %d times at %d failpoints: every group whole or gone, nothing left in Consul; %v", kills, len(consulKillAt), since(began))
	})
	t.Run("transactions", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		const size, transactions = 300, 5 // 601 operations, at most 128 in one
		agent := consultest.WithACL(t)
		cut := cutTransactions(t, agent)
		l := newConsulLab(t, agent)
		l.consul = fmt.Sprintf("consul:\n  address: %q\n  token_file: %q\n", cut.address, l.tokenFile)
		r := l.replica("a")
		r.start("")
		r.ready()
		s := l.shop(r, "shop", size)
		kills := 0
		for n := 1; n <= transactions; n += count(3, 1) {
			for _, behind := range []bool{false, true} {
				cut.arm(n, behind, r.kill)
				number := s.register()
				s.eventually(fmt.Sprintf("killed at transaction %d", n), r.gone)
				if passing, all := s.catalog(); passing[number] != 0 {
					t.Errorf("cut at transaction %d: %d of %d instances pass already", n, passing[number], all[number])
				}
				r.start("")
				r.ready()
				s.whole(number)
				s.retire(number)
				kills++
			}
		}
		s.leaveNothing()
		report(t, "a group of %d cut %d times at its %d transactions by kill -9: completed after each start, none of it passing before; nothing left in Consul; %v",
			size, kills, transactions, since(began))
	})
}

// registers says whether the line is on the way into Consul.
func registers(name failpoint.Name) bool { return strings.HasPrefix(string(name), "register.") }

// killedAt registers a generation, or retires it too, with a replica that is killed at that line, and starts it again.
func (s *consulShop) killedAt(name failpoint.Name) (number int) {
	s.Helper()
	r := s.replica
	r.kill()
	r.start(string(name) + "=kill")
	r.ready()
	if registers(name) { // the program may die before it has answered
		number = s.last + 1
		res, err := s.client.RegisterGenerationWithResponse(s.Context(), s.name, nil, s.registration(number))
		if err == nil && (res.JSON201 == nil || res.JSON201.Number != number) {
			s.Fatalf("register generation %d: %s", number, body(res))
		}
		s.last = number
	} else {
		number = s.register()
		s.whole(number)
		res, err := s.client.RetireGenerationWithResponse(s.Context(), s.name, number, nil, client.RetireRequest{})
		if err != nil || res.JSON202 == nil {
			s.Fatalf("retire generation %d: %v %s", number, err, body(res))
		}
	}
	s.eventually("killed at "+string(name), r.gone)
	r.start("")
	r.ready()
	return number
}

// whole waits until the generation is ready, with every instance in Consul; one that was to retire is on its way.
func (s *consulShop) whole(number int) {
	s.Helper()
	switch s.generation(number).State {
	case client.GenerationStateRetiring, client.GenerationStateRetired:
		return
	}
	s.becomes(number, client.GenerationStateReady)
	if passing, all := s.catalog(); all[number] != s.size || passing[number] != s.size {
		s.Errorf("generation %d is ready with %d instances in Consul, %d of them passing, want %d", number, all[number], passing[number], s.size)
	}
}

// leaveNothing deletes the environment, of which nothing may stay in Consul.
func (s *consulShop) leaveNothing() {
	s.Helper()
	s.remove()
	if left := s.consulLab.leftovers(); len(left) > 0 {
		s.Errorf("left behind in Consul: %v", left)
	}
}

// transactionCutter stands before Consul and calls a function at a chosen transaction.
type transactionCutter struct {
	address string

	mu     sync.Mutex
	left   int // transactions until it cuts; 0 for never
	behind bool
	cut    func()
}

func cutTransactions(t *testing.T, agent *consultest.Agent) *transactionCutter {
	t.Helper()
	c := &transactionCutter{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: agent.HTTP})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		cut, behind := c.due(q)
		if cut != nil && !behind {
			cut()
			return
		}
		proxy.ServeHTTP(w, q)
		if cut != nil {
			cut()
		}
	}))
	t.Cleanup(server.Close)
	c.address = server.URL
	return c
}

// arm makes the next call of cut happen at the n-th transaction from now.
func (c *transactionCutter) arm(n int, behind bool, cut func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.behind, c.cut = n, behind, cut
}

func (c *transactionCutter) due(q *http.Request) (cut func(), behind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.URL.Path != "/v1/txn" || c.left == 0 {
		return nil, false
	}
	c.left--
	if c.left > 0 {
		return nil, false
	}
	return c.cut, c.behind
}
