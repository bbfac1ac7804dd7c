package rollout

import (
	"strings"
	"testing"
	"time"
)

// An adoption is held against how each router of the environment finds instances, when it is registered.
func TestRegister_WhatRoutersFind(t *testing.T) {
	t.Parallel()
	finders := map[string]Finder{"mesh": FindsByFilter, "dns": FindsByMeta, "elsewhere": FindsByMeta}
	build := func(n string) string { return `Service.Meta.build == "` + n + `"` }
	odd := `Service.Meta.build != "1"`
	for name, c := range map[string]struct {
		routers, catalogName, service, filter string
		want                                  string // of the refusal; empty for none
	}{
		"told where they are":           {"builtin", "", "web", "", ""},
		"not of this environment":       {"builtin,kv", "web", "web", odd, ""},
		"by filter":                     {"builtin,mesh", "web", "web", odd, ""},
		"by meta":                       {"dns", "", "web", build("2"), ""},
		"both":                          {"mesh,dns", "web", "web", build("2"), ""},
		"the usual name":                {"mesh", "", "shop-web", build("2"), ""},
		"under another name":            {"mesh", "", "web", build("2"), `/groups/0/consul/service router mesh: it switches service shop-web of Consul, not web: give the service in the spec "catalog_name": "web"`},
		"under a name that is no label": {"mesh", "", "Web_1", build("2"), "register them under a name of a-z"},
		"no filter, by filter":          {"mesh", "web", "web", "", "/groups/0/consul/filter router mesh: without a filter"},
		"no filter, by meta":            {"dns", "web", "web", "", "/groups/0/consul/filter router dns: without a filter"},
		"a filter that none follows":    {"mesh,dns", "web", "web", odd, "/groups/0/consul/filter router dns: it asks for Service.Meta.build Not Equal; a prepared query follows Service.Meta.KEY"},
		"as before":                     {"dns", "web", "web", build("1"), `generation 1 finds (Service.Meta.build == "1")`},
		"part of before":                {"mesh", "web", "web", build("1") + ` and "a" in Service.Tags`, "generation 1 finds"},
		"as before, where nobody looks": {"builtin", "web", "web", build("1"), ""},
	} {
		w := newWorld(t, func(s *Spec) { s.Registry, s.Services[0].CatalogName = "consul", c.catalogName })
		w.e.Finders = finders
		register := func(service, filter string) *Refusal {
			t.Helper()
			a := &Adoption{Service: service, Filter: filter, Expect: 2, Timeout: Duration(time.Minute), Membership: Frozen}
			tr, err := w.e.Register(RegisterCommand{Actor: alice, Version: "1", Groups: []Group{{Service: "web", Consul: a}}}, w.now)
			if err == nil {
				w.changes(tr, err)
				return nil
			}
			return refusal(err)
		}
		if r := register("web", build("1")); r != nil { // told where they are, as yet
			t.Fatalf("%s: %v", name, r)
		}
		w.e.Spec.Routers = strings.Split(c.routers, ",")
		r := register(c.service, c.filter)
		text := ""
		if r != nil {
			text = r.Error()
			for _, e := range r.Errors {
				text += " " + e.Pointer + " " + e.Detail
			}
		}
		if (c.want == "") != (r == nil) || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// A router that comes into the spec later must find what is kept.
func TestReplace_WhatRoutersFind(t *testing.T) {
	t.Parallel()
	w, n := adopting(t)
	w.e.Finders = map[string]Finder{"dns": FindsByMeta}
	spec := w.e.Spec
	spec.Routers = []string{Builtin, "kv", "dns"}
	r := refusal(second(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now)))
	if r == nil || r.Code != Conflict || !strings.Contains(r.Detail, "router dns cannot follow generation 1: without a filter") {
		t.Errorf("refused with %v", r)
	}
	spec.Routers = []string{Builtin, "kv"}
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	w.pass(time.Hour).settle()
	w.is(n, Failed)
	spec.Routers = []string{Builtin, "dns"}
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
}

// A generation that cannot serve any more holds up none with the same filter.
func TestRegister_TheSameFilterAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Registry, s.Routers = "consul", []string{"dns"} })
	w.e.Finders = map[string]Finder{"dns": FindsByMeta}
	register := func() error {
		a := &Adoption{Service: "web", Filter: `Service.Meta.build == "1"`, Expect: 2, Timeout: Duration(time.Minute), Membership: Frozen}
		tr, err := w.e.Register(RegisterCommand{Actor: alice, Version: "1", Groups: []Group{{Service: "web", Consul: a}}}, w.now)
		if err == nil {
			w.changes(tr, err)
		}
		return err
	}
	if err := register(); err != nil {
		t.Fatal(err)
	}
	if r := refusal(register()); r == nil || r.Code != Conflict {
		t.Errorf("the same filter beside: %v", r)
	}
	w.pass(time.Hour).settle() // it never came
	w.is(1, Failed)
	if err := register(); err != nil {
		t.Errorf("after it has failed: %v", err)
	}
}

func TestCatalogNames(t *testing.T) {
	t.Parallel()
	spec := func(names ...string) (s Spec) {
		for i, name := range names {
			svc := defaultService()
			svc.Name, svc.CatalogName = []string{"web", "api", "jobs"}[i], name
			s.Services = append(s.Services, svc)
		}
		return s
	}
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{spec("", ""), ""}, {spec("web", "api"), ""}, {spec("shop-web", ""), ""},
		{spec("shop-api", ""), "/services/1/catalog_name"}, {spec("", "shop-jobs", ""), "/services/2/catalog_name"},
	} {
		_, err := Environment{}.Create(PutCommand{Actor: alice, Name: "shop", Spec: c.spec}, time.Unix(1, 0))
		if r := refusal(err); (r == nil) != (c.want == "") || r != nil && r.Errors[0].Pointer != c.want {
			t.Errorf("%+v: %v", c.spec, err)
		}
	}
	if a, b := CatalogName("shop", Service{Name: "web"}), CatalogName("shop", Service{Name: "web", CatalogName: "www"}); a != "shop-web" || b != "www" {
		t.Errorf("known as %s and %s", a, b)
	}
}

// Two environments may have a name in common where no router goes by it.
func TestCatalogNames_OfOtherEnvironments(t *testing.T) {
	t.Parallel()
	spec := func(name string, routers ...string) Spec {
		svc := defaultService()
		svc.Name, svc.CatalogName = "web", name
		return Spec{Services: []Service{svc}, Routers: routers}
	}
	e := Environment{Finders: map[string]Finder{"mesh": FindsByFilter, "dns": FindsByMeta},
		Neighbours: []Neighbour{{"stall", spec("web", "builtin", "dns")}, {"shop-web", spec("", "mesh")}}}
	for name, c := range map[string]struct {
		spec Spec
		want string
	}{
		"one router":    {spec("web", "kv", "dns"), "router dns switches web for service web of environment stall already"},
		"the usual":     {spec("shop-web-web", "mesh"), "router mesh switches shop-web-web for service web of environment shop-web already"},
		"other routers": {spec("web", "builtin", "mesh"), ""},
		"other names":   {spec("www", "dns", "mesh"), ""},
	} {
		_, err := e.Create(PutCommand{Actor: alice, Name: "shop", Spec: c.spec}, time.Unix(1, 0))
		if r := refusal(err); (r == nil) != (c.want == "") || r != nil && (r.Code != Conflict || r.Detail != c.want || r.Errors[0].Pointer != "/services/0/catalog_name") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWorld(t)
	w.e.Finders, w.e.Neighbours = e.Finders, e.Neighbours
	if r := refusal(second(w.e.Replace(PutCommand{Actor: alice, Spec: spec("web", "dns")}, w.now))); r == nil || r.Code != Conflict {
		t.Errorf("replaced: %v", r)
	}
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec("www", "dns")}, w.now))
	if w.e.Neighbours != nil {
		t.Error("what was loaded for one decision stays in what is decided")
	}
}

// What is announced and staged under a name keeps it.
func TestReplace_KeepsNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	renamed := w.e.Spec
	renamed.Services = append([]Service{}, renamed.Services...)
	renamed.Services[0].CatalogName = "web"
	n := w.ready()
	_, err := w.e.Replace(PutCommand{Actor: alice, Spec: renamed}, w.now)
	if r := refusal(err); r == nil || r.Code != Conflict || !strings.Contains(r.Detail, "known as shop-web in the catalog, and generation 1") {
		t.Errorf("renamed under generation 1: %v", err)
	}
	same := renamed
	same.Services = append([]Service{}, same.Services...)
	same.Services[0].CatalogName = "shop-web"
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: same}, w.now))
	for i := range w.e.Generations {
		if w.e.Generations[i].Number == n {
			w.e.Generations[i].State = Retired
		}
	}
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: renamed}, w.now))
}
