package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"viridian/router/routertest"
)

// trickle is light steady traffic over replicas that come and go: one request each few milliseconds through each. What
// gets no answer proves nothing. What gets one is kept.
type trickle struct {
	over chan struct{}
	wait sync.WaitGroup

	mu      sync.Mutex
	answers []routertest.Answer
	lost    int
}

const trickleEvery = 25 * time.Millisecond

// trickle begins the traffic of the shop through the replicas, on kept and on fresh connections.
func (s *shop) trickle(replicas ...*replica) *trickle {
	t := &trickle{over: make(chan struct{})}
	for i, r := range replicas {
		doer := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		t.wait.Go(func() {
			defer doer.CloseIdleConnections()
			tick := time.NewTicker(trickleEvery)
			defer tick.Stop()
			for {
				select {
				case <-t.over:
					return
				case <-tick.C:
					t.one(doer, r.proxy, s.host)
				}
			}
		})
	}
	return t
}

func (t *trickle) one(doer *http.Client, proxy, host string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+proxy+"/", nil)
	if err != nil {
		panic(err) // the address is one of the lab's
	}
	q.Host = host
	a := routertest.Answer{Start: time.Now()}
	res, err := doer.Do(q)
	a.End = time.Now()
	if err == nil {
		_ = res.Body.Close()
		a.Generation, a.Err = strconv.Atoi(res.Header.Get(routertest.GenerationHeader))
		if res.StatusCode != http.StatusOK {
			a.Err = fmt.Errorf("status %d from %s at %s", res.StatusCode, proxy, a.End.Format(time.StampMicro))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.lost++ // the replica is down, or was killed meanwhile
		return
	}
	t.answers = append(t.answers, a)
}

// stop ends the traffic.
func (t *trickle) stop() (answers []routertest.Answer, lost int) {
	close(t.over)
	t.wait.Wait()
	return t.answers, t.lost
}
