package e2e

import (
	"fmt"
	"testing"
	"time"

	"viridian/registry/consultest"
)

// TestProveConsulLifecycle takes generations of 3 and of 300 instances through everything over the API, with no more
// rights in Consul than the documented policy gives, and looks at the catalog after each step. Nothing is left behind.
func TestProveConsulLifecycle(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 300} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			l := newConsulLab(t, consultest.WithACL(t))
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
			s.retire(second)
			expect("the second retired", map[int]int{1: size})
			s.remove()
			if left := l.leftovers(); len(left) > 0 {
				t.Errorf("left behind in Consul: %v", left)
			}
			s.audit()
			report(t, "%d instances: registered, healthy, promoted, rolled back, retired, deleted over the API with the documented policy; nothing left in Consul; %v", size, since(began))
		})
	}
}
