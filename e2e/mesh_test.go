package e2e

import (
	"fmt"
	"testing"
	"time"

	"viridian/client"
	"viridian/registry/consultest"
)

// TestProveMeshLife takes environments through everything over the API, switched by Consul alone and with no more rights
// there than the documented policies give: in steps where the router can share, and with nothing left behind.
func TestProveMeshLife(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.WithACL(t))
	// DNS is asked without a token: who resolves needs a right of their own, which is no part of Viridian's.
	l.agent.AllowAnonymous(`service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } query_prefix "" { policy = "read" }`)
	r := l.replica("a")
	r.start("")
	r.ready()
	l.grades(r)
	shared, whole := l.shop(r, "shop", "mesh", "kv"), l.shop(r, "site", "dns", "kv")
	for _, s := range []*meshShop{shared, whole} {
		s.promote(s.candidate())
		s.expect("the first promoted", all(1), 1)
		two := s.candidate()
		s.expect("the second ready", all(1), 1)
		if share := s.share(1, 90, two, 10); s == whole {
			if share.Status() != "409 Conflict" {
				t.Errorf("shares on a router that takes none: %s", share.Body)
			}
			s.expect("after shares were refused", all(1), 1)
		} else {
			s.expect("shared", map[string]int{"g1": 90, "g2": 10}, 1)
			s.share(1, 50, two, 50)
			s.expect("shared by half", map[string]int{"g1": 50, "g2": 50}, 1)
		}
		s.promote(two)
		s.expect("the second promoted", all(2), 2)
		s.rollback(two)
		s.expect("rolled back", all(1), 1)
		s.settled("after the rollback")
		s.retire(two)
		s.expect("the second retired", all(1), 1)
	}
	if left := l.leftovers(); len(left) == 0 {
		t.Error("what is left behind is not found")
	}
	for _, s := range []*meshShop{shared, whole} {
		s.audit()
		s.remove()
	}
	l.leavesNothing()
	report(t, "register, promote, share, promote, roll back, retire, delete by splitter, query and key, with the documented policies; nothing left in Consul; %v", since(began))
}

// share sets weights of two generations; it is refused, or applied.
func (s *meshShop) share(one, share, other, rest int) *client.SetWeightsResponse {
	s.Helper()
	res, err := s.client.SetWeightsWithResponse(s.Context(), s.name, nil, client.WeightsRequest{Weights: client.Weights{fmt.Sprint(one): share, fmt.Sprint(other): rest}})
	if err != nil || (res.JSON200 == nil && res.ApplicationproblemJSONDefault == nil) {
		s.Fatalf("set weights: %v %s", err, body(res))
	}
	return res
}

// grades checks what the API tells of the routers.
func (l *meshLab) grades(r *replica) {
	l.Helper()
	want := map[string]client.Grade{"mesh": client.GradeFenced, "kv": client.GradeFenced, "dns": client.GradeReadBack}
	res, err := r.client.ListRoutersWithResponse(l.Context())
	if err != nil || res.JSON200 == nil {
		l.Fatalf("list routers: %v %s", err, body(res))
	}
	for _, router := range res.JSON200.Items {
		grade, ours := want[router.Name]
		if delete(want, router.Name); ours && (router.Grade != grade || router.Driver != "consul-"+meshPolicies[router.Name] || len(router.Nodes) != 1) {
			l.Errorf("router %+v", router)
		}
	}
	if len(want) > 0 {
		l.Errorf("the API does not list %v", want)
	}
}

// TestProveMeshFlips: what proxies are told, what DNS answers and what the key says, each asked right after the API has
// said "applied", is never what it was before.
func TestProveMeshFlips(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.Dev(t))
	r := l.replica("a")
	r.start("")
	r.ready()
	s := l.shop(r, "shop", "mesh", "dns", "kv")
	s.promote(s.candidate())
	flips := count(20, 200)
	c := &cycle{shop: s.shop}
	for range flips {
		c.next()
		route := s.route()
		s.expect("applied", all(*route.Live), *route.Live)
		if revision, _ := s.key(); revision != route.Revision {
			t.Errorf("the key is at revision %d, the route at %d", revision, route.Revision)
		}
	}
	s.settled("at the end")
	s.audit()
	report(t, "%d flips over the API: discovery chain, DNS by UDP and key read after \"applied\": 0 stale; %v", flips, since(began))
}
