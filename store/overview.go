package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// Aggregates loads the environments of these names, or all when none are given, with everything known of them, and the
// database's time. Deleted and unknown ones are left out. It asks the same few questions however many there are.
func (s *Store) Aggregates(ctx context.Context, names ...string) ([]rollout.Environment, time.Time, error) {
	if names == nil {
		names = []string{}
	}
	var found map[string]*aggregate
	var now time.Time
	err := s.view(ctx, func(b *batch) {
		found = map[string]*aggregate{}
		s.queueAggregates(b, found, names)
		b.row(`SELECT clock_timestamp()`, func(row pgx.Row) error { return row.Scan(&now) })
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	out := make([]rollout.Environment, 0, len(found))
	for _, a := range found {
		a.HeardSince = s.heardSince(now)
		out = append(out, a.Environment)
	}
	slices.SortFunc(out, func(a, b rollout.Environment) int { return strings.Compare(a.Name, b.Name) })
	return out, now.Truncate(time.Microsecond), nil
}

// queueAggregates is queueAggregate for many: rows find their environment by its name.
func (s *Store) queueAggregates(b *batch, found map[string]*aggregate, names []string) {
	b.each(`SELECT `+environmentColumns+` FROM environment
		WHERE deleted_at IS NULL AND (cardinality($1::text[]) = 0 OR name = ANY ($1::text[]))`, func(row pgx.CollectableRow) error {
		a := &aggregate{}
		err := a.scan(row)
		a.Timing = s.timing
		found[a.Name] = a
		return err
	}, names)
	b.each(presentGenerations+`
		WHERE state <> 'retired' AND (cardinality($1::text[]) = 0 OR environment = ANY ($1::text[]))
		ORDER BY number`, func(row pgx.CollectableRow) error {
		g, err := scanGeneration(row)
		if a := found[g.Environment]; a != nil {
			a.Generations = append(a.Generations, g)
		}
		return err
	}, names)
	b.each(`SELECT `+promotionColumns+` FROM promotion
		WHERE state IN ('shifting', 'paused', 'baking') AND (cardinality($1::text[]) = 0 OR environment = ANY ($1::text[]))`,
		func(row pgx.CollectableRow) error {
			p, err := scanPromotion(row)
			if a := found[p.Environment]; a != nil {
				a.Promotion = &p
			}
			return err
		}, names)
	b.each(`SELECT s.environment, s.revision, s.kind, s.status, s.degraded, coalesce(s.from_number, 0), coalesce(s.to_number, 0), s.weights,
			s.actor, s.reason, coalesce(s.promotion, 0), s.warnings, s.committed_at, s.applied_at, s.drained_at
		FROM switch s JOIN environment e ON e.name = s.environment AND e.revision = s.revision
		WHERE e.deleted_at IS NULL AND (cardinality($1::text[]) = 0 OR e.name = ANY ($1::text[]))`, func(row pgx.CollectableRow) error {
		present, err := scanSwitch(row)
		if a := found[present.Environment]; a != nil && !present.CommittedAt.Before(a.CreatedAt) {
			a.Switch = &present
		}
		return err
	}, names)
	queueObservations(b, found, names)
}

// queueObservations loads nodes, receipts, stagings and readings.
func queueObservations(b *batch, found map[string]*aggregate, names []string) {
	b.each(`SELECT `+nodeColumns+` FROM node WHERE NOT removed ORDER BY router, name`, func(row pgx.CollectableRow) error {
		n, err := scanNode(row)
		for _, a := range found {
			if slices.Contains(a.Spec.Routers, n.Router) {
				a.Nodes = append(a.Nodes, n)
			}
		}
		return err
	})
	b.each(`SELECT environment, router, node, incarnation, revision, spec_version, hash, weights, in_flight, at, grade, error FROM receipt
		WHERE cardinality($1::text[]) = 0 OR environment = ANY ($1::text[]) ORDER BY router, node`, func(row pgx.CollectableRow) error {
		var r rollout.Receipt
		var environment string
		err := row.Scan(&environment, &r.Router, &r.Node, &r.Incarnation, &r.Revision, &r.SpecVersion, &r.Hash, &r.Weights, &r.InFlight, &r.At, &r.Grade, &r.Error)
		if a := found[environment]; a != nil {
			a.Receipts = append(a.Receipts, r)
		}
		return err
	}, names)
	b.each(`SELECT environment, generation, router, node, incarnation, spec_version FROM staging
		WHERE cardinality($1::text[]) = 0 OR environment = ANY ($1::text[]) ORDER BY generation, router, node`, func(row pgx.CollectableRow) error {
		var st rollout.Staging
		var environment string
		err := row.Scan(&environment, &st.Generation, &st.Router, &st.Node, &st.Incarnation, &st.SpecVersion)
		if a := found[environment]; a != nil {
			a.Stagings = append(a.Stagings, st)
		}
		return err
	}, names)
	b.each(`SELECT environment, generation, service, healthy, unhealthy, total, at, detail, drift, mismatched FROM reading
		WHERE cardinality($1::text[]) = 0 OR environment = ANY ($1::text[]) ORDER BY generation, service`, func(row pgx.CollectableRow) error {
		environment, r, err := scanReading(row)
		if a := found[environment]; a != nil {
			a.Readings = append(a.Readings, r)
		}
		return err
	}, names)
}

func scanReading(row pgx.CollectableRow) (environment string, r rollout.Reading, err error) {
	err = row.Scan(&environment, &r.Generation, &r.Service, &r.Healthy, &r.Unhealthy, &r.Total, &r.At, &r.Detail, &r.Drift, &r.Mismatched)
	return environment, r, err
}

// Glance is what changes without a version: who was heard of, how the instances are; and by the versions, what else has
// changed since somebody looked.
type Glance struct {
	At       time.Time        // by the database's clock
	Versions map[string]int64 // of the environments that are not deleted
	Nodes    []rollout.Node   // of all routers, removed ones left out
	Removed  []rollout.Node   // those, the last that was heard of first
	Readings map[string][]rollout.Reading
}

// Glance takes one look at everything that may have changed.
func (s *Store) Glance(ctx context.Context) (Glance, error) {
	var p Glance
	err := s.view(ctx, func(b *batch) {
		p = Glance{Versions: map[string]int64{}, Readings: map[string][]rollout.Reading{}}
		b.each(`SELECT name, version FROM environment WHERE deleted_at IS NULL`, func(row pgx.CollectableRow) error {
			var name string
			var version int64
			err := row.Scan(&name, &version)
			p.Versions[name] = version
			return err
		})
		b.each(`SELECT `+nodeColumns+` FROM node WHERE NOT removed ORDER BY router, name`, func(row pgx.CollectableRow) error {
			n, err := scanNode(row)
			p.Nodes = append(p.Nodes, n)
			return err
		})
		b.each(`SELECT `+nodeColumns+` FROM node WHERE removed ORDER BY seen_at DESC, router, name LIMIT 100`, func(row pgx.CollectableRow) error {
			n, err := scanNode(row)
			p.Removed = append(p.Removed, n)
			return err
		})
		b.each(`SELECT r.environment, r.generation, r.service, r.healthy, r.unhealthy, r.total, r.at, r.detail, r.drift, r.mismatched FROM reading r
			ORDER BY r.environment, r.generation, r.service`, func(row pgx.CollectableRow) error {
			environment, r, err := scanReading(row)
			p.Readings[environment] = append(p.Readings[environment], r)
			return err
		})
		b.row(`SELECT clock_timestamp()`, func(row pgx.Row) error { return row.Scan(&p.At) })
	})
	p.At = p.At.Truncate(time.Microsecond)
	return p, err
}
