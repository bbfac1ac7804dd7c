package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/registry/consultest"
)

// TestProveMeshFaults: what somebody writes by hand over a splitter, a query or the key is noticed, told with what was
// found, and put right; and so is a token that was taken back, and a Consul that has lost everything.
func TestProveMeshFaults(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.WithACL(t))
	const everybody = `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } query_prefix "" { policy = "read" }`
	l.agent.AllowAnonymous(everybody)
	r := l.replica("a")
	r.start("")
	r.ready()
	var s *meshShop
	var edits int
	var slowest time.Duration
	for _, name := range []string{"site", "shop"} { // two, since heals of one environment are spaced out
		s = l.shop(r, name, "mesh", "dns", "kv")
		s.promote(s.candidate())
		s.promote(s.candidate())
		s.settled("before the edits")
		for _, edit := range s.edits()[name] {
			slowest = max(slowest, s.undone(edit))
			edits++
		}
	}
	if slowest > noticeTime {
		t.Errorf("the slowest of %d edits by hand was told after %v", edits, slowest)
	}
	revoked := s.revoked()
	l.agent.Kill()
	l.agent.Start() // a development agent keeps nothing
	l.agent.AllowAnonymous(everybody)
	at := time.Now()
	l.grant()
	l.allow()
	if !within(patience, func() bool {
		return l.hasSplitter("shop-web") && l.hasKey("viridian/shop/route") && s.follows(all(1), 1) == ""
	}) {
		t.Fatalf("an empty Consul was not filled again: %+v", s.route())
	}
	filled := time.Since(at)
	s.settled("in a Consul that was empty")
	report(t, "%d edits by hand undone, the slowest told after %v; %s; an empty Consul filled again after %v; %v", edits,
		slowest.Round(10*time.Millisecond), revoked, filled.Round(10*time.Millisecond), since(began))
}

// undone does the edit, and waits until it is told and put right. It says how long it took until it was told.
func (s *meshShop) undone(edit meshEdit) (took time.Duration) {
	s.Helper()
	before := len(s.drifts())
	at := time.Now()
	edit.do()
	s.eventually(edit.what+" is told", func() bool { return len(s.drifts()) > before })
	took = time.Since(at)
	if !within(patience, func() bool { return s.follows(all(2), 2) == "" }) {
		s.Fatalf("%s: not put right after %v: %s", edit.what, patience, s.follows(all(2), 2))
	}
	if found := strings.Join(s.drifts()[before:], "; "); !strings.Contains(found, edit.told) {
		s.Errorf("%s is told as %s, want %q", edit.what, found, edit.told)
	}
	s.settled("after " + edit.what)
	return took
}

// meshEdit is something that somebody does by hand, and what is to be told of it.
type meshEdit struct {
	what, told string
	do         func()
}

// edits are what somebody may do to environments whose live generation is 2.
func (s *meshShop) edits() map[string][]meshEdit {
	service, key := s.name+"-web", "viridian/"+s.name+"/route"
	entries, kv := s.lab.admin.ConfigEntries(), s.lab.admin.KV()
	must := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	set := func(change func(e *api.ServiceSplitterConfigEntry)) func() {
		return func() {
			entry, _, err := entries.Get(api.ServiceSplitter, service, nil)
			must(err)
			splitter, ok := entry.(*api.ServiceSplitterConfigEntry)
			if !ok {
				s.Fatalf("%T", entry)
			}
			change(splitter)
			_, _, err = entries.Set(splitter, nil)
			must(err)
		}
	}
	toOne := []api.ServiceSplit{{Weight: 100, ServiceSubset: "g1"}}
	return map[string][]meshEdit{"site": {
		{"other weights in the splitter", `"found":{"1":100}`, set(func(e *api.ServiceSplitterConfigEntry) { e.Splits = toOne })},
		{"a splitter of somebody's own", "was written by somebody else", set(func(e *api.ServiceSplitterConfigEntry) { e.Splits, e.Meta = toOne, nil })},
		{"the splitter deleted", "splitter " + service + " is gone", func() {
			_, err := entries.Delete(api.ServiceSplitter, service, nil)
			must(err)
		}},
	}, "shop": {
		{"another generation in the query", `"found":{"1":100}`, func() {
			queries, _, err := s.lab.admin.PreparedQuery().List(nil)
			must(err)
			for _, q := range queries {
				if q.Name == service {
					q.Service.ServiceMeta["viridian-generation"] = "1"
					_, err = s.lab.admin.PreparedQuery().Update(q, nil)
					must(err)
				}
			}
		}},
		{"another address in the key", "key " + key + " was changed by hand", func() {
			pair, _, err := kv.Get(key, nil)
			must(err)
			pair.Value = []byte(strings.ReplaceAll(string(pair.Value), "127.0.0.1", "127.6.6.6"))
			_, err = kv.Put(pair, nil)
			must(err)
		}},
		{"the key deleted", "key " + key + " is gone", func() {
			_, err := kv.Delete(key, nil)
			must(err)
		}},
	}}
}

// drifts are the events of nodes that did something else than the route said.
func (s *meshShop) drifts() (out []string) {
	s.Helper()
	for _, e := range s.events() {
		if e.Kind == "route.drifted" {
			out = append(out, string(e.Data))
		}
	}
	return out
}

func (l *meshLab) hasKey(key string) bool {
	pair, _, err := l.admin.KV().Get(key, nil)
	return err == nil && pair != nil
}

func (l *meshLab) hasSplitter(name string) bool {
	_, _, err := l.admin.ConfigEntries().Get(api.ServiceSplitter, name, nil)
	return err == nil
}

// revoked takes the tokens of the routers back and rolls back without them. What was told before goes on being told to
// proxies; the receipts say what is missing; and with new tokens in the files the rollback is applied.
func (s *meshShop) revoked() string {
	s.Helper()
	for _, token := range s.lab.tokens {
		s.lab.agent.Revoke(token)
	}
	for _, router := range *s.spec.Routers {
		s.error(router, "ACL not found")
	}
	s.expect("without rights", all(2), 2)
	from := 2
	res, err := s.client.RollbackWithResponse(s.Context(), s.name, &client.RollbackParams{Timeout: ptr("1s")}, client.RollbackRequest{From: &from})
	if err != nil || res.JSON202 == nil {
		s.Fatalf("roll back without rights in Consul: %v %s", err, body(res))
	}
	s.expect("rolled back without rights", all(2), 2)
	at := time.Now()
	s.lab.allow()
	s.eventually("the rollback is applied with new tokens", func() bool { return s.follows(all(1), 1) == "" })
	s.settled("with new tokens")
	return fmt.Sprintf("tokens taken back: told, and a rollback applied %v after new ones", time.Since(at).Round(10*time.Millisecond))
}

// TestProveMeshConsulAway: without Consul a promote is committed and says what it waits for, and is applied when Consul
// is back; so it is with a Consul that hangs.
func TestProveMeshConsulAway(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.Durable(t))
	r := l.replica("a")
	r.start("")
	r.ready()
	s := l.shop(r, "shop", "mesh", "dns", "kv")
	s.promote(s.candidate())
	s.promote(s.candidate())
	s.settled("before")
	l.agent.Kill()
	for _, router := range *s.spec.Routers {
		s.error(router, "connection refused")
	}
	from := 2
	res, err := s.client.RollbackWithResponse(t.Context(), s.name, &client.RollbackParams{Timeout: ptr("1s")}, client.RollbackRequest{From: &from})
	if err != nil || res.JSON202 == nil || res.JSON202.Status != client.SwitchStatusCommitted {
		t.Fatalf("roll back without Consul: %v %s", err, body(res))
	}
	l.agent.Start()
	at := time.Now()
	s.eventually("the rollback is applied", func() bool { return s.follows(all(1), 1) == "" })
	s.settled("Consul is back")
	back := time.Since(at)
	l.agent.Pause()
	s.error("mesh", "no answer in time")
	l.agent.Resume()
	s.settled("Consul goes on")
	s.expect("Consul goes on", all(1), 1)
	s.audit()
	report(t, "Consul killed: a rollback committed without it, applied %v after its start; one that hung was told of; %v", back.Round(10*time.Millisecond), since(began))
}
