package e2e

import (
	"testing"
	"time"

	"viridian/registry/consultest"
)

// TestProveConsulLifecycle takes generations of 3 and of 300 instances through everything over the API, with no more
// rights in Consul than the documented policy gives, and looks at the catalog after each step. Nothing is left behind.
func TestProveConsulLifecycle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size    int
		onAgent bool
	}{"3": {3, false}, "300": {300, false}, "3 on an agent": {3, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, size := time.Now(), c.size
			var policies []string
			if c.onAgent {
				policies = []string{"registry/consul/policy-agent.hcl"}
			}
			l := newConsulLab(t, consultest.WithACL(t), policies...)
			if c.onAgent {
				l.consul += "  agent: " + l.agent.Node + "\n"
			}
			r := l.replica("a")
			r.start("")
			r.ready()
			s := l.shop(r, "shop", size)
			expect := func(when string, want map[int]int) {
				t.Helper()
				passing, all := s.catalog()
				for number := 1; number <= s.last; number++ {
					if passing[number] != want[number] || all[number] != want[number] {
						t.Errorf("%s: generation %d has %d instances in the catalog, %d of them passing, want %d", when, number, all[number], passing[number], want[number])
					}
				}
			}
			s.promote(s.candidate())
			expect("promoted", map[int]int{1: size})
			second := s.candidate()
			healthy := s.generation(second).Health["web"]
			if healthy.Healthy != size || healthy.Total != size || time.Since(healthy.At) > 10*time.Second {
				t.Errorf("the API says %+v", healthy)
			}
			s.promote(second)
			expect("the second promoted", map[int]int{1: size, 2: size})
			s.rollback(second)
			expect("rolled back", map[int]int{1: size, 2: size})
			if size == 3 {
				s.moved()
			}
			s.retire(second)
			expect("the second retired", map[int]int{1: size})
			s.remove()
			if left := l.leftovers(); len(left) > 0 {
				t.Errorf("left behind in Consul: %v", left)
			}
			s.audit()
			report(t, "%s instances: registered, healthy, promoted, rolled back, retired, deleted over the API with the documented policy; nothing left in Consul; %v", name, since(began))
		})
	}
}

// moved gives the environment another registry, which leaves nothing in Consul, and then takes that back.
func (s *consulShop) moved() {
	s.Helper()
	s.spec.Registry = ptr("static")
	s.put()
	s.eventually("nothing is left in Consul", func() bool { return len(s.consulLab.leftovers()) == 0 })
	s.spec.Registry = ptr("consul")
	s.put()
	s.eventually("everything is back in Consul", func() bool {
		passing, all := s.catalog()
		return passing[1] == s.size && all[1] == s.size
	})
}
