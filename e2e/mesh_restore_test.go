package e2e

import (
	"testing"
	"time"

	"viridian/client"
	"viridian/registry/consultest"
)

// TestProveMeshRestored puts a copy of the database of three switches ago in its place, while Consul goes on with what it
// was told since: it is found ahead, and the route is put above it with what the copy says. The members of a followed
// generation, which came since, are there again, though the copy knows others.
func TestProveMeshRestored(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.WithACL(t), "registry/consul/policy-adopt.hcl")
	r := l.replica("a")
	r.start("")
	r.ready()
	s := &followed{meshShop: l.shop(r, "shop", "mesh", "kv"), nodes: 2}
	s.shop.size = 3
	p := &restoration{shop: s.shop, replicas: []*replica{r}, nodes: 2}
	one := s.follow("1812")
	for range 3 {
		s.join(one)
	}
	s.becomes(one.number, client.GenerationStateReady)
	s.promote(one.number)
	s.is("the first", one)
	rounds := count(1, 10)
	for range rounds {
		p.reachable()
		p.administer(shut, disconnect, `CREATE DATABASE %s_copy TEMPLATE %s STRATEGY FILE_COPY`, reopen)
		p.reachable()
		p.told = p.aheads()
		s.replace(one)
		two := s.candidate()
		s.promote(two)
		s.rollback(two)
		s.validate(two)
		held := s.promote(two).Revision
		s.replace(one) // of a standby
		restored := time.Now()
		p.administer(shut, `DROP DATABASE %s WITH (FORCE)`, `ALTER DATABASE %s_copy RENAME TO %s`)
		p.notice(&p.slowestNotice[0], restored)
		p.recovery(&p.slowestRecovery[0], restored, restored, held)
		s.is("after the restore", one)
		if shares := s.chain(); shares["g1"] != 100 {
			t.Errorf("after the restore the chain has %v", shares)
		}
		if s.published(one.number) == nil {
			t.Error("after the restore the key has no instance of generation 1")
		}
		three := s.candidate()
		if three <= two {
			t.Errorf("generation %d was given out again as %d", two, three)
		}
		s.promote(three)
		s.rollback(three)
		s.replace(one)
		s.retire(three)
	}
	s.remove()
	l.leavesNothing("service shop-web", "check of:")
	report(t, "%d restored copies of 3 switches ago noticed within %v, and Consul's route and members put right above it within %v; %v", rounds,
		p.slowestNotice[0].Round(10*time.Millisecond), p.slowestRecovery[0].Round(10*time.Millisecond), since(began))
}
