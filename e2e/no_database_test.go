package e2e

import (
	"context"
	"net/http"
	"testing"
	"time"

	"viridian/client"
	"viridian/router/routertest"
	"viridian/store/pglocal"
	"viridian/store/storetest"
)

// TestProveNoDatabase stops and kills Postgres under load. Traffic flows on, also through a replica that starts while
// the database is away; when it is back, everything goes on.
func TestProveNoDatabase(t *testing.T) {
	t.Parallel()
	began := time.Now()
	postgres := storetest.Server(t)
	if err := postgres.CreateDatabase(t.Context(), "viridian"); err != nil {
		t.Fatal(err)
	}
	r := labOn(t, postgres.URL("viridian")).replica("a")
	r.start("")
	r.ready()
	o := &outage{shop: r.shop("shop"), postgres: postgres}
	o.live = o.candidate()
	o.promote(o.live)

	outages := count(2, 10)
	for i := range outages {
		next := o.candidate()
		traffic := o.load(4, 2)
		o.begin(i%2 == 0)
		o.goesOn(time.Duration(count(2, 10)) * time.Second)
		o.judge(traffic)
		for range count(2, 5) {
			o.restart()
		}
		traffic = o.load(4, 2)
		o.end()
		o.eventually("the next generation can be promoted", func() bool { return o.promotable(next) })
		o.promote(next)
		o.live = next
		o.judge(traffic)
	}
	o.audit()
	report(t, "%d outages of the database, every other one by kill -9: %d requests, %d failed, %d stale; the API answered 503 within %v; %d starts without the database each served the last route within %v; %v",
		outages, o.total.Requests, o.total.Failed, o.total.Stale, o.slowest503.Round(time.Millisecond), o.starts, o.slowestStart.Round(time.Millisecond), since(began))
}

// outage is a shop whose database goes away.
type outage struct {
	*shop
	postgres     *pglocal.Server
	live         int
	total        routertest.Verdict
	starts       int // without the database
	slowest503   time.Duration
	slowestStart time.Duration
}

// begin takes the database away, in order or by SIGKILL.
func (o *outage) begin(inOrder bool) {
	o.Helper()
	if !inOrder {
		o.postgres.Kill()
		return
	}
	ctx, cancel := context.WithTimeout(o.Context(), patience)
	defer cancel()
	if err := o.postgres.Stop(ctx); err != nil {
		o.Fatal(err)
	}
}

// end brings the database back and waits until the replica has noticed.
func (o *outage) end() {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), patience)
	defer cancel()
	if err := o.postgres.Restart(ctx); err != nil {
		o.Fatal(err)
	}
	o.ready()
	o.eventually("the node is seen again", o.inOrder)
}

// goesOn checks for a while that the API says what is the matter, and that the proxy counts as ready.
func (o *outage) goesOn(length time.Duration) {
	o.Helper()
	over := time.Now().Add(length)
	o.eventually("the outage is over", func() bool {
		o.unavailable()
		if status := o.status("/readyz"); status != http.StatusServiceUnavailable {
			o.Errorf("/readyz answers %d without the database", status)
		}
		for _, path := range []string{"/livez", "/readyz/proxy"} {
			if status := o.status(path); status != http.StatusOK {
				o.Errorf("%s answers %d without the database", path, status)
			}
		}
		return o.Failed() || time.Now().After(over)
	})
}

// unavailable asks the API for something to read and something to do.
func (o *outage) unavailable() {
	o.Helper()
	const limit = 2 * time.Second
	check := func(what string, begun time.Time, p *client.Problem, body []byte) {
		o.Helper()
		took := time.Since(begun)
		o.slowest503 = max(o.slowest503, took)
		if p == nil || p.Code != client.CodeUnavailable || p.Status != http.StatusServiceUnavailable || took > limit {
			o.Errorf("without the database %s is answered after %v with %s", what, took, body)
		}
	}
	begun := time.Now()
	shown, err := o.client.ShowRouteWithResponse(o.Context(), o.name)
	if err != nil {
		o.Fatal(err)
	}
	check("a question", begun, shown.ApplicationproblemJSONDefault, shown.Body)
	begun = time.Now()
	promoted, err := o.client.PromoteGenerationWithResponse(o.Context(), o.name, o.last, nil, client.PromoteRequest{})
	if err != nil {
		o.Fatal(err)
	}
	check("a promote", begun, promoted.ApplicationproblemJSONDefault, promoted.Body)
}

// restart kills the replica and starts it without the database: from its first answer on it serves its last route.
func (o *outage) restart() {
	o.Helper()
	o.kill()
	o.start("")
	begun := time.Now()
	o.soon("the last route is served", 5*time.Second, func() bool {
		generation, status := o.ask()
		if status != 0 && generation != o.live {
			o.Fatalf("without the database, a request is answered by generation %d with status %d, live is %d", generation, status, o.live)
		}
		return generation == o.live
	})
	o.slowestStart = max(o.slowestStart, time.Since(begun))
	o.starts++
	o.eventually("the API serves", func() bool { return o.status("/livez") == http.StatusOK })
	o.goesOn(0)
}

// judge ends the traffic and adds what became of it.
func (o *outage) judge(traffic *routertest.Traffic) {
	o.Helper()
	v := routertest.Check(traffic.Stop(), o.flips)
	if !v.Clean() || v.Requests == 0 {
		o.Errorf("%v", v)
	}
	o.total.Requests += v.Requests
	o.total.Failed += v.Failed
	o.total.Stale += v.Stale
}
