package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/client"
	"viridian/router/routertest"
	"viridian/store/storetest"
)

// TestProveRestored puts a copy of the database of five switches ago in its place, under two running replicas with
// traffic, or while both are down. Each time the nodes are found ahead, the route is put above everything that they
// held, with what the copy says, and no number of a generation is given out twice.
func TestProveRestored(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newLab(t)
	a, b := l.replica("a"), l.replica("b")
	for _, r := range []*replica{a, b} {
		r.start("")
		r.ready()
	}
	p := &restoration{shop: a.shop("shop"), replicas: []*replica{a, b}, nodes: 2}
	p.live = p.candidate()
	p.promote(p.live)
	rounds := count(2, 20)
	for i := range rounds {
		p.round(i%2 == 1)
	}
	report(t, "%d of %d restored copies of 5 switches ago noticed (within %v; with the start of the replicas, every other time, %v) and recovered above (within %v; %v); %d requests, %d failed, %d stale; %v",
		p.recovered, rounds, p.slowestNotice[0].Round(10*time.Millisecond), p.slowestNotice[1].Round(10*time.Millisecond),
		p.slowestRecovery[0].Round(10*time.Millisecond), p.slowestRecovery[1].Round(10*time.Millisecond),
		p.total.Requests, p.total.Failed, p.total.Stale, since(began))
}

// restoration is a shop whose database is restored.
type restoration struct {
	*shop
	replicas []*replica
	nodes    int // that can be found ahead
	live     int
	told     int // how often nodes were found ahead, as the present copy knows

	recovered                      int
	slowestNotice, slowestRecovery [2]time.Duration // with the replicas running, and down
	total                          routertest.Verdict
}

// round makes a copy, five switches, and then goes back to the copy.
func (p *restoration) round(down bool) {
	p.Helper()
	p.administer(shut, disconnect, `CREATE DATABASE %s_copy TEMPLATE %s STRATEGY FILE_COPY`, reopen)
	p.reachable()
	before := p.route().Revision
	p.told = p.aheads()
	first, second := p.candidate(), 0
	p.promote(first)
	second = p.candidate()
	p.promote(second)
	p.rollback(second)
	third := p.candidate()
	p.promote(third)
	held := p.rollback(third).Revision
	if held != before+5 {
		p.Fatalf("from revision %d to %d, want 5 switches", before, held)
	}
	p.served("before the restore", first)

	var onA, onB *routertest.Traffic
	if down {
		for _, r := range p.replicas {
			r.kill()
		}
	} else {
		onA, onB = p.load(2, 1), p.on(p.replicas[1]).load(2, 1)
	}
	begun := time.Now()
	p.administer(shut, `DROP DATABASE %s WITH (FORCE)`, `ALTER DATABASE %s_copy RENAME TO %s`)
	restored := time.Now()
	if down {
		for _, r := range p.replicas {
			r.start("")
		}
	}
	kind := 0
	if down {
		kind = 1
	}
	p.notice(&p.slowestNotice[kind], restored)
	p.recovery(&p.slowestRecovery[kind], begun, restored, held)
	for _, traffic := range []*routertest.Traffic{onA, onB} {
		if traffic != nil {
			p.judge(traffic)
		}
	}
	p.served("after the restore", p.live)
	p.live = p.candidate() // a number above all that were lost, see register
	p.promote(p.live)
	p.eventually("what was lost is forgotten", p.inOrder)
	p.recovered++
}

// notice waits for the nodes to be found ahead.
func (p *restoration) notice(slowest *time.Duration, restored time.Time) {
	p.Helper()
	p.eventually("the nodes are found ahead", func() bool { return p.aheads() > p.told })
	*slowest = max(*slowest, time.Since(restored))
}

// recovery waits for the switch that mends it, and notes the change of traffic that it makes.
func (p *restoration) recovery(slowest *time.Duration, begun, restored time.Time, held int64) {
	p.Helper()
	var last client.Switch
	p.eventually("the route is above what the nodes held", func() bool {
		res, err := p.client.ListSwitchesWithResponse(p.Context(), p.name, &client.ListSwitchesParams{Limit: ptr(1)})
		if err != nil || res.JSON200 == nil || len(res.JSON200.Items) == 0 {
			return false
		}
		last = res.JSON200.Items[0]
		return last.Kind == client.SwitchKindRecover && last.Status == client.SwitchStatusApplied
	})
	*slowest = max(*slowest, time.Since(restored))
	if last.Revision != held+1 || last.Actor != "viridian" {
		p.Errorf("recovered by switch %d of %s, the nodes were at %d", last.Revision, last.Actor, held)
	}
	p.flips = append(p.flips, routertest.Flip{Begun: begun, Applied: time.Now(), Weights: weights(p.shop, last.Weights)})
	for _, r := range p.replicas {
		p.eventually("both nodes are in order", p.on(r).inOrder)
	}
	if n := p.aheads() - p.told; n < 1 || n > p.nodes { // the second one may be seen when the route is above it
		p.Errorf("%d findings were told of %d nodes", n, len(p.replicas))
	}
}

// served asks both proxies.
func (p *restoration) served(when string, generation int) {
	p.Helper()
	for _, r := range p.replicas {
		if got, status := p.on(r).ask(); got != generation {
			p.Errorf("%s, replica %s serves generation %d (status %d), want %d", when, r.name, got, status, generation)
		}
	}
}

// aheads counts how often a node was found ahead, by the database as it is now; 0 while it does not answer.
func (p *restoration) aheads() int {
	res, err := p.client.ListEventsWithResponse(p.Context(), &client.ListEventsParams{Environment: &p.name, Kind: ptr("route.ahead"), Limit: ptr(200)})
	if err != nil || res.JSON200 == nil {
		return 0
	}
	return len(res.JSON200.Items)
}

func (p *restoration) reachable() {
	p.Helper()
	for _, r := range p.replicas {
		r.ready()
		p.eventually("replica "+r.name+" is in order", p.on(r).inOrder)
	}
}

func (p *restoration) judge(traffic *routertest.Traffic) {
	p.Helper()
	v := routertest.Check(traffic.Stop(), p.flips)
	if !v.Clean() || v.Requests == 0 {
		p.Errorf("%v", v)
	}
	p.total.Requests += v.Requests
	p.total.Failed += v.Failed
	p.total.Stale += v.Stale
}

const (
	shut       = `ALTER DATABASE %s ALLOW_CONNECTIONS false`
	reopen     = `ALTER DATABASE %s ALLOW_CONNECTIONS true`
	disconnect = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'`
)

// administer runs statements on the server, past the database itself; %s stands for its name.
func (l *lab) administer(statements ...string) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	config, err := pgx.ParseConfig(storetest.Direct(l.database))
	if err != nil {
		l.Fatal(err)
	}
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		l.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, strings.ReplaceAll(statement, "%s", name)); err != nil {
			l.Fatalf("%s: %v", statement, err)
		}
	}
}
