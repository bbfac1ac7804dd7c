package store

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// SpecVersion is one version of an environment's spec.
type SpecVersion struct {
	Environment string
	Version     int64
	Spec        rollout.Spec
	CreatedAt   time.Time
	CreatedBy   string // the actor who declared it
}

// SpecVersions lists all specs that the environment had, newest first. An unknown environment is refused with not_found.
func (s *Store) SpecVersions(ctx context.Context, environment string, p Paging) (Page[SpecVersion], error) {
	before, err := p.afterNumber("spec_versions", math.MaxInt64)
	if err != nil {
		return Page[SpecVersion]{}, err
	}
	var out []SpecVersion
	err = s.viewOf(ctx, environment, func(b *batch) {
		out = nil
		b.each(`SELECT environment, version, spec, created_at, created_by FROM spec_version
			WHERE environment = $1 AND version < $2 ORDER BY version DESC LIMIT $3`, func(row pgx.CollectableRow) error {
			var v SpecVersion
			err := row.Scan(&v.Environment, &v.Version, &v.Spec, &v.CreatedAt, &v.CreatedBy)
			out = append(out, v)
			return err
		}, environment, before, limit(p.Limit)+1)
	})
	return cut(out, p, "spec_versions", func(v SpecVersion) string { return strconv.FormatInt(v.Version, 10) }), err
}

// viewOf is view for what belongs to one environment, which must exist.
func (s *Store) viewOf(ctx context.Context, environment string, queue func(b *batch)) error {
	var found bool
	err := s.view(ctx, func(b *batch) {
		b.row(`SELECT EXISTS (SELECT FROM environment WHERE name = $1)`, func(row pgx.Row) error { return row.Scan(&found) }, environment)
		queue(b)
	})
	if err == nil && !found {
		return noEnvironment(environment)
	}
	return err
}

// writeSpec keeps a new version of the spec, makes it the present one, and moves the claims on hosts along. It returns
// by how much the environment's version grows.
func writeSpec(b *batch, before aggregate, e rollout.Environment, events []rollout.Event) (growth int64) {
	actor := rollout.System.String()
	if len(events) > 0 {
		actor = events[0].Actor
	}
	spec := b.json(e.Spec)
	b.exec(`INSERT INTO spec_version (environment, version, spec, created_at, created_by) VALUES ($1, $2, $3::jsonb, $4, $5)`,
		e.Name, e.SpecVersion, spec, e.UpdatedAt, actor)
	if before.found {
		growth = 1
		b.exec(`WITH written AS (
				UPDATE environment SET spec = $3::jsonb, spec_version = $4, created_at = $5, version = version + 1
				WHERE name = $1 AND version = $2 RETURNING 1)
			SELECT expect_one(count(*), 'environment') FROM written`, e.Name, before.Version, spec, e.SpecVersion, e.CreatedAt)
	}
	claimHosts(b, e)
	return growth
}
