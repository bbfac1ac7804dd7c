package rollout

import (
	"testing"
	"time"
)

// A generation that follows must not take the instances of another one before that is promoted.
func TestRegister_NoneFollowsTheInstancesOfAnother(t *testing.T) {
	t.Parallel()
	build := func(n string) string { return `Service.Meta.build == "` + n + `"` }
	odd := `Service.Meta.build != "1"`
	for name, c := range map[string]struct {
		one, two   Adoption
		digest     string // of the second; the first has sha256:1
		overlapped bool
	}{
		"two builds":                   {Adoption{Filter: build("1"), Membership: Follow}, Adoption{Filter: build("2"), Membership: Follow}, "", false},
		"all, and then a build":        {Adoption{Membership: Follow}, Adoption{Filter: build("2"), Membership: Frozen}, "", true},
		"a build, and then all":        {Adoption{Filter: build("1"), Membership: Frozen}, Adoption{Membership: Follow}, "", true},
		"one build twice":              {Adoption{Filter: build("1"), Membership: Follow}, Adoption{Filter: build("1"), Membership: Frozen}, "sha256:2", true},
		"one that nobody reads, twice": {Adoption{Filter: odd, Membership: Follow}, Adoption{Filter: odd, Membership: Follow}, "", true},
		"another service":              {Adoption{Membership: Follow}, Adoption{Service: "blog", Membership: Follow}, "", false},
		"both are frozen":              {Adoption{}, Adoption{}, "", false},
		"a part of it":                 {Adoption{Filter: build("1") + ` and "a" in Service.Tags`, Membership: Follow}, Adoption{Filter: build("1"), Membership: Frozen}, "", false},
		"told apart by digest":         {Adoption{Membership: Follow, DigestMeta: "digest"}, Adoption{Membership: Follow, DigestPath: "/digest"}, "sha256:2", false},
		"one digest":                   {Adoption{Membership: Follow, DigestMeta: "digest"}, Adoption{Membership: Follow, DigestMeta: "digest"}, "sha256:1", true},
		"the second has no digest":     {Adoption{Membership: Follow, DigestMeta: "digest"}, Adoption{Filter: build("2"), Membership: Frozen}, "", true},
	} {
		w := newWorld(t, func(s *Spec) { s.Registry = "consul" })
		register := func(a Adoption, digest string) (Transition, error) {
			a.Expect, a.Timeout = 2, Duration(time.Minute)
			if a.Membership == "" {
				a.Membership = Frozen
			}
			if a.Service == "" {
				a.Service = "web"
			}
			return w.e.Register(RegisterCommand{Actor: alice, Version: "1", Artifact: &Artifact{Digest: digest}, Groups: []Group{{Service: "web", Consul: &a}}}, w.now)
		}
		w.changes(register(c.one, "sha256:1"))
		_, err := register(c.two, c.digest)
		if r := refusal(err); (r != nil && r.Code == Conflict) != c.overlapped || r == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.pass(time.Hour).settle() // the first never came
		if r := refusal(func() error { _, err := register(c.two, c.digest); return err }()); r != nil {
			t.Errorf("%s: after the first has failed: %v", name, r)
		}
	}
}
