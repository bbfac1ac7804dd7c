package consul_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
)

// definition is the one query of a name.
func (w *town) definition(name string) *api.PreparedQueryDefinition {
	w.Helper()
	all, _, err := w.client.PreparedQuery().List(nil)
	if err != nil {
		w.Fatal(err)
	}
	i := slices.IndexFunc(all, func(q *api.PreparedQueryDefinition) bool { return q.Name == name })
	if i < 0 {
		w.Fatalf("there is no query %s", name)
	}
	return all[i]
}

func (w *town) update(q *api.PreparedQueryDefinition) {
	w.Helper()
	if _, err := w.client.PreparedQuery().Update(q, nil); err != nil {
		w.Fatal(err)
	}
}

// TestQuery_Adopted: a query leads to instances that registered themselves by what their filter says of them, to those
// that Viridian registered by their meta, and to nobody where it is to.
func TestQuery_Adopted(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	w.spec.Services[0].CatalogName = "web"
	w.arrives(1, "web", "6", "Blue", "team")
	w.arrives(2, "web", "7", "green", "team")
	w.arrives(3, "other", "8")
	listed := w.generation(4, "web")
	w.announce(listed)
	q := newQuery(w)
	w.stage(q, w.adopted(1, "web", `Service.Meta.build == "6" and "team" in Service.Tags`), w.adopted(2, "web", `"green" in Service.Tags and (Node.Meta["pool"] == p7)`),
		w.adopted(3, "other", fmt.Sprintf(builds, 8)), listed)
	w.resolves("web", 0)
	w.holds(q, 0, nil)
	for i, live := range []int{1, 2, 3, 4, 1, 0, 3, 2} {
		weights := rollout.Weights{live: 100}
		if live == 0 {
			weights = nil
		}
		w.apply(q, int64(i+1), weights)
		w.holds(q, int64(i+1), weights)
		w.resolves("web", live)
	}
	if o := w.observe(q); fmt.Sprint(o.Staged) != "[1 2 3 4]" {
		t.Errorf("staged %v", o.Staged)
	}
	clash := q.Stage(w.ctx, newest, w.route(8, rollout.Weights{2: 100}), w.adopted(5, "web", `"green" in Service.Tags`))
	if clash == nil || !strings.Contains(clash.Error(), "by which generation 2 is known") {
		t.Errorf("a filter that finds what another one finds: %v", clash)
	}
	other := *w
	other.name = "stall"
	if err := newQuery(&other).Stage(w.ctx, newest, other.route(0, nil), listed); err == nil || !strings.Contains(err.Error(), "prepared query web, of environment shop, in Consul") {
		t.Errorf("the name of another environment: %v", err)
	}
	w.gone(q, 9, 1, 2, 3, 4)
	if left := w.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What somebody changes in a query that names instances by a filter is seen, and put right.
func TestQuery_AdoptedEdits(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	for n := 1; n <= 2; n++ {
		w.arrives(n, "team-web", fmt.Sprint(n))
	}
	q := newQuery(w)
	two := w.adopted(2, "team-web", fmt.Sprintf(builds, 2))
	w.stage(q, w.adopted(1, "team-web", fmt.Sprintf(builds, 1)), two)
	w.apply(q, 1, rollout.Weights{2: 100})
	revision := int64(1)
	for name, edit := range map[string]func(*api.ServiceQuery){
		"no mark":           func(s *api.ServiceQuery) { s.Tags = nil },
		"a tag":             func(s *api.ServiceQuery) { s.Tags = append(s.Tags, "x") },
		"other meta":        func(s *api.ServiceQuery) { s.ServiceMeta = map[string]string{"build": "1"} },
		"no meta":           func(s *api.ServiceQuery) { s.ServiceMeta = nil },
		"meta of nodes":     func(s *api.ServiceQuery) { s.NodeMeta = map[string]string{"pool": "p1"} },
		"another service":   func(s *api.ServiceQuery) { s.Service = "shop-web" },
		"checks to ignore":  func(s *api.ServiceQuery) { s.IgnoreCheckIDs = append(s.IgnoreCheckIDs, "mem") },
		"failing instances": func(s *api.ServiceQuery) { s.OnlyPassing = false },
	} {
		w.holds(q, revision, rollout.Weights{2: 100})
		definition := w.definition("shop-web")
		edit(&definition.Service)
		w.update(definition)
		kept := name == "checks to ignore" // which is how a check is judged, and nobody else's
		o := w.observe(q)
		if right := o.Hash == w.route(revision, rollout.Weights{2: 100}).Hash(); right != kept || o.Revision != revision {
			t.Errorf("%s: observed at revision %d with %v: %q", name, o.Revision, o.Weights, o.Error)
		}
		w.stage(q, two, w.adopted(1, "team-web", fmt.Sprintf(builds, 1)))
		revision++
		w.apply(q, revision, rollout.Weights{2: 100})
		w.holds(q, revision, rollout.Weights{2: 100})
		w.resolves("web", 2)
	}
}

// TestQuery_AsBefore reads a query as it was written before instances that registered themselves could be named.
func TestQuery_AsBefore(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	for n := 1; n <= 2; n++ {
		w.announce(w.generation(n, "web"))
	}
	_, _, err := w.client.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: "shop-web", DNS: api.QueryDNSOptions{TTL: "0s"}, Service: api.ServiceQuery{Service: "shop-web", OnlyPassing: true,
		Tags: []string{"!viridian:7:1:2:0:1*1+2*1"}, ServiceMeta: map[string]string{rollout.MetaEnvironment: "shop", rollout.MetaGeneration: "2"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := newQuery(w)
	w.holds(q, 7, rollout.Weights{2: 100})
	if o := w.observe(q); fmt.Sprint(o.Staged) != "[1 2]" || len(o.Edits) > 0 {
		t.Errorf("staged %v, edits %v", o.Staged, o.Edits)
	}
	before := w.definition("shop-web")
	w.stage(q, w.generation(1, "web"), w.generation(2, "web"))
	w.apply(q, 7, rollout.Weights{2: 100})
	if diff := cmp.Diff(before, w.definition("shop-web")); diff != "" {
		t.Errorf("what was right was written anew: %s", diff)
	}
	w.arrives(3, "shop-web", "8")
	w.stage(q, w.adopted(3, "shop-web", fmt.Sprintf(builds, 8)))
	w.holds(q, 7, rollout.Weights{2: 100})
	w.resolves("web", 2)
	w.apply(q, 8, rollout.Weights{3: 100})
	w.holds(q, 8, rollout.Weights{3: 100})
	w.resolves("web", 3)
}
