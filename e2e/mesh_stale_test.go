package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/registry/consultest"
)

// TestProveMeshStaleReplica stops a replica right before its writes to Consul, for longer than its lease. The other one
// takes over, goes on to a newer route, and the first one wakes up: neither splitter nor key ever goes back.
func TestProveMeshStaleReplica(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.Dev(t))
	sleeper, other := l.replica("a"), l.replica("b")
	sleeper.start("apply.before=sleep(400ms)") // so that it is stopped before its writes
	sleeper.ready()
	s := l.shop(sleeper, "shop", "mesh", "kv")
	s.promote(s.candidate())
	two := s.candidate()
	other.start("")
	other.ready()
	rounds, looks := count(1, 20), 0
	for range rounds {
		other.kill()
		s.shop.replica = sleeper
		s.eventually("the sleeper has the lease", func() bool { return s.leaseHolder() == sleeper.name })
		other.start("")
		other.ready()
		if s.generation(two).State == client.GenerationStateRejected {
			s.validate(two)
		}
		s.eventually("it can be promoted", func() bool { return s.promotable(two) })
		stop := s.watch()
		res, err := s.client.PromoteGenerationWithResponse(t.Context(), s.name, two, &client.PromoteGenerationParams{Wait: ptr(client.WaitCommitted)}, client.PromoteRequest{})
		if err != nil || res.JSON200 == nil {
			t.Fatalf("promote: %v %s", err, body(res))
		}
		if err := sleeper.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		s.shop.replica = other
		s.eventually("the other one has applied it", func() bool { return s.route().Switch.Status == client.SwitchStatusApplied })
		back := s.rollback(two)
		if err := sleeper.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		within(2*time.Second, func() bool { return false }) // it does what it still wants to
		wentBack, seen := stop()
		looks += seen
		if len(wentBack) > 0 || seen == 0 {
			t.Errorf("in %d looks went back: %s", seen, strings.Join(wentBack, ", "))
		}
		s.expect("the sleeper is awake", all(1), 1)
		if revision := s.splitterRevision(); revision != back.Revision {
			t.Errorf("the splitter is at revision %d, want %d", revision, back.Revision)
		}
	}
	s.audit()
	report(t, "%d times a replica was stopped before its writes, for longer than its lease, and woke up to a newer route: %d looks at splitter and key, none went back; %v",
		rounds, looks, since(began))
}

// splitterRevision is the one in the mark of the splitter; 0 where there is none.
func (s *meshShop) splitterRevision() (revision int64) {
	entry, _, err := s.lab.admin.ConfigEntries().Get(api.ServiceSplitter, s.name+"-web", nil)
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(entry.GetMeta()["viridian-revision"], &revision) // without a mark it is 0
	return revision
}

// watch reads the revisions of splitter and key over and over until stop is called, which tells where one went back.
func (s *meshShop) watch() (stop func() (back []string, seen int)) {
	done, ended := make(chan struct{}), make(chan struct{})
	var splitter, key revisions
	own := *s.consulShop.shop // the test goes on to another replica meanwhile
	looker := &meshShop{&consulShop{shop: &own, consulLab: s.consulLab}, s.lab}
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			splitter.note(looker.splitterRevision())
			revision, _ := looker.key()
			key.note(revision)
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() ([]string, int) {
		close(done)
		<-ended
		return append(splitter.back, key.back...), splitter.seen + key.seen
	}
}
