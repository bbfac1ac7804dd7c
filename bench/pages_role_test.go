package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/server"
	"viridian/store"
)

// pagesRole is the server of the pages over many environments, without the loops: what it uses is for the pages alone.
type pagesRole struct {
	hub  *controller.Hub
	list []rollout.Environment
	next int // of the list, to be changed
}

// murmur asks the pages' server for so many changes a second from now on, over all of its environments.
type murmur struct{ EachSecond int }

// playPages serves as many environments as its argument says.
func playPages(ctx context.Context, t task, in *json.Decoder, out *json.Encoder) error {
	count, err := strconv.Atoi(t.Args[0])
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{URL: t.Database})
	if err != nil {
		return err
	}
	defer s.Close()
	p := &pagesRole{hub: controller.NewHub()}
	if p.list, err = manyEnvironments(ctx, s, t.Database, count); err != nil {
		return err
	}
	contract, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		return err
	}
	service := controller.NewService(controller.Options{Store: s, Hub: p.hub, Clock: clockwork.NewRealClock(), Random: func() float64 { return 0.5 },
		Failpoints: &failpoint.Set{}, Node: rollout.Node{Router: rollout.Builtin, Name: "bench", Incarnation: "1"}, CallTimeout: patience})
	handler, err := server.New(server.Options{Service: service, Store: s, OpenAPI: contract, Version: "bench"})
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving := server.HTTPServer(handler)
	defer serving.Close()
	go func() {
		if err := serving.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "pages:", err)
		}
	}()
	if err := greet(out, l.Addr().String()); err != nil {
		return err
	}
	return p.obey(in)
}

// obey changes environments at the pace that was asked for last, until there is nothing more to hear.
func (p *pagesRole) obey(in *json.Decoder) error {
	const pace = 50 * time.Millisecond
	asked, failed := make(chan murmur), make(chan error, 1)
	go func() {
		for {
			var m murmur
			if err := in.Decode(&m); err != nil {
				failed <- err
				return
			}
			asked <- m
		}
	}()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for each := 0; ; {
		select {
		case m := <-asked:
			each = m.EachSecond / int(time.Second/pace)
		case <-ticker.C:
			for range each {
				p.change()
			}
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// change moves some traffic in the next environment, as the loops tell it after a commit: the costliest thing to show.
func (p *pagesRole) change() {
	e := &p.list[p.next]
	p.next = (p.next + 1) % len(p.list)
	e.Version++
	e.Revision++
	share := int(e.Revision % 50)
	e.Weights = rollout.Weights{2: 100 - share, 3: share}
	made := *e.Switch
	made.Revision, made.Weights, made.CommittedAt = e.Revision, e.Weights, time.Now()
	e.Switch = &made
	p.hub.Publish(*e)
}

// crowd makes environments 1 to $1 with the settings $2: one generation live, one to go back to, one to be promoted.
// Their times stay fresh.
var crowd = []string{
	`SET session_replication_role = replica`,
	`INSERT INTO environment (name, spec, spec_version, created_at, updated_at, last_number, last_promotion, revision, weights, live, previous, version)
		SELECT 'shop-' || n, $2::jsonb, 1, now(), now(), 3, 0, 7, '{"2": 100}', 2, 1, 1000000 FROM generate_series(1, $1) n`,
	`INSERT INTO spec_version (environment, version, spec, created_at, created_by)
		SELECT 'shop-' || n, 1, $2::jsonb, now(), 'bench' FROM generate_series(1, $1) n`,
	`INSERT INTO generation (environment, number, version, metadata, sizes, colour, created_at, created_by, state, state_changed_at,
			reason, promote, waiting, announced, checked, unweighted_revision, succeeded)
		SELECT 'shop-' || n, g, '2026.11.' || g || '-c0ffee', '{}', '{"web": 12}', CASE g WHEN 2 THEN 'blue' ELSE 'green' END, now(), 'token ci',
			CASE g WHEN 1 THEN 'standby' WHEN 2 THEN 'live' ELSE 'ready' END, now(), '', false, '', true,
			jsonb_build_object('passed', true), 0, true
		FROM generate_series(1, $1) n, generate_series(1, 3) g`,
	`INSERT INTO switch (environment, revision, kind, status, degraded, from_number, to_number, weights, actor, reason, warnings, committed_at, applied_at)
		SELECT 'shop-' || n, 7, 'promote', 'applied', false, 1, 2, '{"2": 100}', 'token ci', 'release', '{}', now(), now() FROM generate_series(1, $1) n`,
	`INSERT INTO reading (environment, generation, service, healthy, unhealthy, total, at, detail)
		SELECT 'shop-' || n, g, 'web', 12, 0, 12, now() + interval '1 hour', '' FROM generate_series(1, $1) n, generate_series(1, 3) g`,
	`INSERT INTO node (router, name, incarnation, version, seen_at, removed, changes)
		SELECT 'builtin', 'edge-' || n, '1', '1', now() + interval '1 hour', false, 0 FROM generate_series(1, least(2, $1)) n`,
}

// manyEnvironments makes a crowd, past the guards of the schema, and returns it as it is loaded.
func manyEnvironments(ctx context.Context, s *store.Store, database string, count int) ([]rollout.Environment, error) {
	spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}], "description": "a shop"}`))
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	for _, statement := range crowd {
		args := []any{count, raw}[:strings.Count(statement, "$1")+strings.Count(statement, "$2")]
		if _, err := conn.Exec(ctx, statement, args...); err != nil {
			return nil, fmt.Errorf("%.40s: %w", statement, err)
		}
	}
	var names []string
	for n := range count {
		names = append(names, fmt.Sprintf("shop-%d", n+1))
	}
	list, _, err := s.Aggregates(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		for _, node := range e.Nodes {
			if _, err := conn.Exec(ctx, `INSERT INTO receipt (environment, router, node, incarnation, revision, spec_version, hash, weights, in_flight, at, grade, error)
				VALUES ($1, $2, $3, $4, $5, 1, $6, $7, '{}', now(), 'fenced', '')`,
				e.Name, node.Router, node.Name, node.Incarnation, e.Revision, e.Route().Hash(), e.Weights); err != nil {
				return nil, err
			}
		}
	}
	list, _, err = s.Aggregates(ctx, names...)
	return list, err
}
