package consul_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/consul"
)

// edit is what somebody does by hand, and what is to be told of it.
type edit struct {
	name string
	do   func(w *town)
	told string // part of the error of the observation
	lost bool   // whether generation 2 does not count as staged any more
}

// mended does each edit to an environment whose services web and api are at generation 2, and has it noticed, told, and
// put right as the holder of the lease does it: by staging what is lost, and by a route at the next revision.
func mended(t *testing.T, w *town, r router.Router, edits []edit) {
	t.Helper()
	one, two := w.generation(1, "web", "api"), w.generation(2, "web", "api")
	w.announce(one)
	w.announce(two)
	w.stage(r, one, two)
	w.apply(r, 1, rollout.Weights{2: 100})
	revision := int64(1)
	for _, e := range edits {
		w.holds(r, revision, rollout.Weights{2: 100})
		e.do(w)
		o := w.observe(r)
		right := o.Revision == revision && o.Hash == w.route(revision, rollout.Weights{2: 100}).Hash()
		if lost := !slices.Contains(o.Staged, 2); (right && !lost) || lost != e.lost || !strings.Contains(o.Error, e.told) || o.Revision != revision || (e.told != "" && len(o.Edits) == 0) {
			t.Errorf("%s: observed at revision %d with %v, staged %v: %q", e.name, o.Revision, o.Weights, o.Staged, o.Error)
		}
		if again := w.observe(r); again.Error != o.Error || again.Hash != o.Hash || again.Revision != o.Revision {
			t.Errorf("%s: seen as %+v, and then as %+v", e.name, o, again)
		}
		w.stage(r, two, one)
		revision++
		w.apply(r, revision, rollout.Weights{2: 100})
		w.holds(r, revision, rollout.Weights{2: 100})
		if o := w.observe(r); len(o.Staged) != 2 {
			t.Errorf("%s: staged afterwards: %v", e.name, o.Staged)
		}
	}
}

func splitterOf(w *town) *api.ServiceSplitterConfigEntry {
	entry, _, err := w.client.ConfigEntries().Get(api.ServiceSplitter, "shop-web", nil)
	if err != nil {
		w.Fatal(err)
	}
	return entry.(*api.ServiceSplitterConfigEntry)
}

func resolverOf(w *town) *api.ServiceResolverConfigEntry {
	entry, _, err := w.client.ConfigEntries().Get(api.ServiceResolver, "shop-web", nil)
	if err != nil {
		w.Fatal(err)
	}
	return entry.(*api.ServiceResolverConfigEntry)
}

func (w *town) set(entry api.ConfigEntry) {
	w.Helper()
	if _, _, err := w.client.ConfigEntries().Set(entry, nil); err != nil {
		w.Fatal(err)
	}
}

func TestSplitter_EditsByHand(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web", "api")
	mended(t, w, newSplitter(w), []edit{
		{name: "weights of one service", told: "splitter shop-api has generation 2: 100", do: func(w *town) {
			s := splitterOf(w)
			s.Splits = []api.ServiceSplit{{Weight: 100, ServiceSubset: "g1"}}
			w.set(s)
		}},
		{name: "written without a mark", told: "splitter shop-web was written by somebody else, and has generation 1: 100", do: func(w *town) {
			w.set(&api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: "shop-web", Splits: []api.ServiceSplit{{Weight: 100, ServiceSubset: "g1"}}})
		}},
		{name: "deleted", told: "splitter shop-web is gone", do: func(w *town) {
			if _, err := w.client.ConfigEntries().Delete(api.ServiceSplitter, "shop-web", nil); err != nil {
				w.Fatal(err)
			}
		}},
		{name: "set back", told: "splitter shop-web was set back by hand, and has generation 1: 100", do: func(w *town) {
			s := splitterOf(w)
			s.Meta["viridian-revision"], s.Meta["viridian-live"] = "0", "1"
			s.Splits = []api.ServiceSplit{{Weight: 100, ServiceSubset: "g1"}}
			w.set(s)
		}},
		{name: "a header", told: "splitter shop-web was changed by hand", do: func(w *town) {
			s := splitterOf(w)
			s.Splits[0].RequestHeaders = &api.HTTPHeaderModifiers{Set: map[string]string{"X-Who": "me"}}
			w.set(s)
		}},
		{name: "a share of its own", told: "splitter shop-web was changed by hand, and has shop-web g2: 90, elsewhere : 10", do: func(w *town) {
			s := splitterOf(w)
			w.set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "elsewhere", Protocol: "http"})
			s.Splits = []api.ServiceSplit{{Weight: 90, Service: "shop-web", ServiceSubset: "g2"}, {Weight: 10, Service: "elsewhere"}}
			w.set(s)
		}},
		{name: "the instances of a generation", told: "resolver shop-web was changed by hand", lost: true, do: func(w *town) {
			r := resolverOf(w)
			r.Subsets["g2"] = api.ServiceResolverSubset{Filter: `Service.Meta["x"] == "y"`}
			w.set(r)
		}},
		{name: "the resolver without a mark", told: "resolver shop-web was written by somebody else", lost: true, do: func(w *town) {
			r := resolverOf(w)
			r.Meta, r.DefaultSubset = nil, "g1"
			w.set(r)
		}},
		{name: "splitter and resolver deleted", lost: true, told: "splitter shop-web is gone", do: func(w *town) {
			for _, kind := range []string{api.ServiceSplitter, api.ServiceResolver} {
				if _, err := w.client.ConfigEntries().Delete(kind, "shop-web", nil); err != nil {
					w.Fatal(err)
				}
			}
		}},
	})
}

func queryOf(w *town) *api.PreparedQueryDefinition {
	all, _, err := w.client.PreparedQuery().List(nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, q := range all {
		if q.Name == "shop-web" {
			return q
		}
	}
	w.Fatalf("none of %d queries is shop-web", len(all))
	return nil
}

func TestQuery_EditsByHand(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web", "api")
	change := func(edit func(q *api.PreparedQueryDefinition)) func(w *town) {
		return func(w *town) {
			q := queryOf(w)
			edit(q)
			if _, err := w.client.PreparedQuery().Update(q, nil); err != nil {
				w.Fatal(err)
			}
		}
	}
	mended(t, w, newQuery(w), []edit{
		{name: "another generation", told: "prepared query shop-api has generation 2: 100", do: change(func(q *api.PreparedQueryDefinition) {
			q.Service.ServiceMeta[rollout.MetaGeneration] = "1"
		})},
		{name: "no mark", told: "prepared query shop-web was written by somebody else, and names generation 1: 100", lost: true, do: change(func(q *api.PreparedQueryDefinition) {
			q.Service.Tags, q.Service.ServiceMeta[rollout.MetaGeneration] = nil, "1"
		})},
		{name: "failing instances too", told: "prepared query shop-web was changed by hand", do: change(func(q *api.PreparedQueryDefinition) { q.Service.OnlyPassing = false })},
		{name: "kept by resolvers", told: "prepared query shop-web was changed by hand", do: change(func(q *api.PreparedQueryDefinition) { q.DNS.TTL = "30s" })},
		{name: "deleted", told: "prepared query shop-web is gone", lost: true, do: func(w *town) {
			if _, err := w.client.PreparedQuery().Delete(queryOf(w).ID, nil); err != nil {
				w.Fatal(err)
			}
		}},
	})
}

func TestPointer_EditsByHand(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web", "api")
	key := consul.RouteKey(w.name)
	write := func(key string, edit func(text string) string) func(w *town) {
		return func(w *town) {
			pair, _, err := w.client.KV().Get(key, nil)
			if err != nil || pair == nil {
				w.Fatalf("%s: %v %v", key, pair, err)
			}
			pair.Value = []byte(edit(string(pair.Value)))
			if _, err := w.client.KV().Put(pair, nil); err != nil {
				w.Fatal(err)
			}
		}
	}
	replace := func(old, text string) func(string) string {
		return func(value string) string {
			if !strings.Contains(value, old) {
				w.Fatalf("%s is not in %s", old, value)
			}
			return strings.ReplaceAll(value, old, text)
		}
	}
	mended(t, w, newPointer(w), []edit{
		{name: "weights", told: "was changed by hand, and has generation 1: 100", do: write(key, replace(`"weights":{"2":100}`, `"weights":{"1":100}`))},
		{name: "an address", told: "was changed by hand", do: write(key, replace("10.0.0.2", "10.6.6.6"))},
		{name: "no JSON", told: "is no JSON", do: write(key, func(string) string { return "gone" })},
		{name: "spaces", told: "was changed by hand", do: write(key, func(text string) string { return text + "\n" })},
		{name: "set back", told: "was changed by hand", do: write(key, func(text string) string {
			var p consul.Published
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				w.Fatal(err)
			}
			p.Revision = 0
			out, _ := json.Marshal(p)
			return string(out)
		})},
		{name: "what is staged", told: "key viridian/shop/generations/2 was changed by hand", lost: true, do: write("viridian/shop/generations/2", replace("10.0.0.2", "10.6.6.6"))},
		{name: "deleted", told: "key viridian/shop/route is gone", do: func(w *town) {
			if _, err := w.client.KV().Delete(key, nil); err != nil {
				w.Fatal(err)
			}
		}},
	})
}
