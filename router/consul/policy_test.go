package consul_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/consul"
)

// drivers are all kinds, with the policy that each documents.
var drivers = []struct {
	name, policy string
	missing      string // what Consul says is missing without it
	open         func(consul.Options) router.Router
}{
	{"splitter", "router/consul/splitter.hcl", "key:read", func(o consul.Options) router.Router { return consul.NewSplitter(o) }},
	{"query", "router/consul/query.hcl", "key:read", func(o consul.Options) router.Router { return consul.NewQuery(o) }},
	{"pointer", "router/consul/kv.hcl", "key:read", func(o consul.Options) router.Router { return consul.NewPointer(o) }},
}

// Each kind lives its whole life with the documented policy and nothing else, leaves nothing behind, and says what is
// missing when the token is taken back.
func TestPolicies(t *testing.T) {
	t.Parallel()
	agent := consultest.WithACL(t)
	for _, d := range drivers {
		w := newTown(t, agent, "web")
		one, two := w.generation(1, "web"), w.generation(2, "web")
		w.announce(one)
		w.announce(two)
		token := agent.Grant(consultest.Policy(t, d.policy))
		r := d.open(consul.Options{Router: d.name, Node: "dc1", Client: agent.Client(token)})
		w.stage(r, one, two)
		w.apply(r, 1, rollout.Weights{1: 100})
		w.apply(r, 2, rollout.Weights{2: 100})
		w.holds(r, 2, rollout.Weights{2: 100})
		if o := w.observe(r); len(o.Staged) != 2 {
			t.Errorf("%s: staged %v", d.name, o.Staged)
		}
		w.apply(r, 3, nil)
		for n := 1; n <= 2; n++ {
			if err := r.Remove(w.ctx, newest, w.name, n); err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
		}
		if err := r.Forget(w.ctx, newest, w.name); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		if left := w.left(); len(left) > 0 {
			t.Errorf("%s: left behind: %v", d.name, left)
		}
		agent.Revoke(token)
		_, err := r.Observe(w.ctx, w.name)
		if err == nil || !strings.Contains(err.Error(), "ACL not found") {
			t.Errorf("%s: with a token that was taken back: %v", d.name, err)
		}
		bare := d.open(consul.Options{Router: d.name, Node: "dc1", Client: agent.Client(agent.Grant(`key "other" { policy = "read" }`))})
		_, err = bare.Observe(w.ctx, w.name)
		if err == nil || !strings.Contains(err.Error(), "lacks permission '"+d.missing+"'") || !strings.Contains(err.Error(), `the token needs: key`) {
			t.Errorf("%s: without rights: %v", d.name, err)
		}
	}
}

// A token that may see which Consul it is and nothing else takes what it cannot read for unreadable, not for gone.
func TestPolicies_WhatCannotBeReadIsNotGone(t *testing.T) {
	t.Parallel()
	agent := consultest.WithACL(t)
	w := newTown(t, agent, "web")
	one := w.generation(1, "web")
	w.announce(one)
	for _, d := range drivers[:2] {
		right := &bearer{token: agent.Token}
		client, err := api.NewClient(&api.Config{Address: agent.HTTP, HttpClient: &http.Client{Transport: right}})
		if err != nil {
			t.Fatal(err)
		}
		r := d.open(consul.Options{Router: d.name, Node: "dc1", Client: client})
		w.stage(r, one)
		w.apply(r, 1, rollout.Weights{1: 100})
		w.holds(r, 1, rollout.Weights{1: 100})
		right.token = agent.Grant(`key_prefix "viridian/" { policy = "write" }`)
		_, err = r.Observe(w.ctx, w.name)
		if err == nil {
			err = r.Apply(w.ctx, newest, w.route(2, rollout.Weights{1: 100}))
		}
		if err == nil || errors.Is(err, router.ErrStale) || !strings.Contains(err.Error(), "the token") {
			t.Errorf("%s: %v", d.name, err)
		}
	}
}

// plain carries requests of clients that do something with them first.
var plain = &http.Transport{}

// bearer gives requests the token of the moment.
type bearer struct{ token string }

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Consul-Token", b.token)
	return plain.RoundTrip(r)
}

// left is what there is of ours in Consul besides the key that is the installation's.
func (w *town) left() (out []string) {
	w.Helper()
	for _, kind := range []string{api.ServiceSplitter, api.ServiceResolver, api.ServiceDefaults} {
		entries, _, err := w.client.ConfigEntries().List(kind, nil)
		if err != nil {
			w.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, kind+" "+e.GetName())
		}
	}
	queries, _, err := w.client.PreparedQuery().List(nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, q := range queries {
		out = append(out, "query "+q.Name)
	}
	keys, _, err := w.client.KV().Keys("", "", nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, key := range keys {
		if key != "viridian/incarnation" {
			out = append(out, "key "+key)
		}
	}
	return out
}
