package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

const environmentColumns = `name, spec, spec_version, created_at, updated_at, last_number, last_promotion, revision, weights,
	coalesce(live, 0), coalesce(previous, 0), lock, hold, mending, registry_trouble, deleting_at, deleted_at, version`

// aggregate is an environment as it was loaded.
type aggregate struct {
	rollout.Environment
	found    bool
	allNodes []rollout.Node // of routers that the spec does not name, too
	now      time.Time      // only from a load without lock
}

func (a *aggregate) scan(row pgx.CollectableRow) error {
	a.found = true
	return row.Scan(&a.Name, &a.Spec, &a.SpecVersion, &a.CreatedAt, &a.UpdatedAt, &a.LastNumber, &a.LastPromotion, &a.Revision,
		&a.Weights, &a.Live, &a.Previous, &a.Lock, &a.Hold, &a.Mending, &a.Trouble, &a.DeletingAt, &a.DeletedAt, &a.Version)
}

// queueAggregate loads everything known of an environment; those of the generations that are named even when they are
// retired. With lock, the environment is locked first, so that what is read after it stays as it is until the end of
// the transaction.
func (s *Store) queueAggregate(b *batch, a *aggregate, name string, lock bool, generations ...int) {
	*a = aggregate{}
	if lock {
		b.each(`SELECT `+environmentColumns+` FROM environment WHERE name = $1 FOR UPDATE`, a.scan, name)
	} else {
		b.each(`SELECT `+environmentColumns+` FROM environment WHERE name = $1`, a.scan, name)
	}
	queueGenerations(b, a, name, generations)
	queueOpenPromotion(b, a, name)
	queuePresentSwitch(b, a, name)
	queueNodes(b, a)
	queueReceipts(b, a, name)
	queueStagings(b, a, name)
	queueReadings(b, a, name)
	a.Timing, a.Required, a.Undivided, a.Finders = s.timing, s.required, s.undivided, s.finders
}

// queueNeighbours loads what the other environments are declared to be.
func queueNeighbours(b *batch, a *aggregate, name string) {
	b.each(`SELECT name, spec FROM environment WHERE name <> $1 AND deleted_at IS NULL ORDER BY name`, func(row pgx.CollectableRow) error {
		var n rollout.Neighbour
		if err := row.Scan(&n.Name, &n.Spec); err != nil {
			return err
		}
		a.Neighbours = append(a.Neighbours, n)
		return nil
	}, name)
}

// Environment loads the aggregate without locking it, with the database's time. A deleted environment is loaded too;
// an unknown one is refused with not_found.
func (s *Store) Environment(ctx context.Context, name string) (rollout.Environment, time.Time, error) {
	var a aggregate
	err := s.view(ctx, func(b *batch) {
		s.queueAggregate(b, &a, name, false)
		b.row(`SELECT clock_timestamp()`, func(row pgx.Row) error { return row.Scan(&a.now) })
	})
	if err == nil && !a.found {
		err = noEnvironment(name)
	}
	if err != nil {
		return rollout.Environment{}, time.Time{}, err
	}
	a.now = a.now.Truncate(time.Microsecond)
	a.HeardSince = s.heardSince(a.now)
	return a.Environment, a.now, nil
}

func noEnvironment(name string) error {
	return rollout.Refuse(rollout.NotFound, "there is no environment "+name, "list them with GET /v1/environments")
}

// Environments lists what is not deleted and matches one of the globs, by name. Of each, only its own fields and the
// open promotion are loaded.
func (s *Store) Environments(ctx context.Context, globs []string, p Paging) (Page[rollout.Environment], error) {
	after, err := p.after("environments", "")
	if err != nil {
		return Page[rollout.Environment]{}, err
	}
	var out []rollout.Environment
	err = s.view(ctx, func(b *batch) {
		out = nil
		open := map[string]*rollout.Promotion{}
		b.each(`SELECT `+promotionColumns+` FROM promotion WHERE state IN ('shifting', 'paused', 'baking')`, func(row pgx.CollectableRow) error {
			p, err := scanPromotion(row)
			open[p.Environment] = &p
			return err
		})
		b.each(`SELECT `+environmentColumns+` FROM environment
			WHERE deleted_at IS NULL AND name LIKE ANY ($1::text[]) AND name COLLATE "C" > $2
			ORDER BY name COLLATE "C" LIMIT $3`, func(row pgx.CollectableRow) error {
			var a aggregate
			err := a.scan(row)
			a.Timing, a.Promotion = s.timing, open[a.Name]
			out = append(out, a.Environment)
			return err
		}, patterns(globs), after, limit(p.Limit)+1)
	})
	return cut(out, p, "environments", func(e rollout.Environment) string { return e.Name }), err
}

// Versions tells, for every environment that is not deleted and forgotten by all nodes, a number that grows with each
// change of it or of the nodes.
func (s *Store) Versions(ctx context.Context) (map[string]int64, error) {
	var out map[string]int64
	err := s.view(ctx, func(b *batch) {
		out = map[string]int64{}
		b.each(`SELECT name, version + (SELECT coalesce(sum(changes), 0) FROM node)::bigint FROM environment e
			WHERE deleted_at IS NULL OR EXISTS (SELECT FROM receipt r WHERE r.environment = e.name)`, func(row pgx.CollectableRow) error {
			var name string
			var version int64
			err := row.Scan(&name, &version)
			out[name] = version
			return err
		})
	})
	return out, err
}

// insertEnvironment makes the row, before anything that points to it.
func insertEnvironment(b *batch, e rollout.Environment) {
	b.exec(`INSERT INTO environment (name, spec, spec_version, created_at, updated_at, last_number, last_promotion, revision, weights, version)
		VALUES ($1, $2::jsonb, $3, $4, $5, 0, 0, 0, '{}', 1)`, e.Name, b.json(e.Spec), e.SpecVersion, e.CreatedAt, e.UpdatedAt)
	b.exec(`INSERT INTO lease (environment, holder, term, expires_at) VALUES ($1, '', 0, '-infinity')`, e.Name)
}

// updateEnvironment writes everything but the spec, after all that it points to, over the row of e.Version.
func updateEnvironment(b *batch, e rollout.Environment) {
	b.exec(`WITH written AS (
			UPDATE environment SET updated_at = $3, last_number = $4, last_promotion = $5, revision = $6, weights = $7::jsonb,
				live = nullif($8::integer, 0), previous = nullif($9::integer, 0), lock = $10::jsonb, hold = $11::jsonb,
				deleting_at = $12, deleted_at = $13, mending = $14::jsonb, registry_trouble = $15::jsonb, version = version + 1
			WHERE name = $1 AND version = $2 RETURNING 1)
		SELECT expect_one(count(*), 'environment') FROM written`,
		e.Name, e.Version, e.UpdatedAt, e.LastNumber, e.LastPromotion, e.Revision, weightsText(b, e.Weights), e.Live, e.Previous,
		nullable(b, e.Lock), nullable(b, e.Hold), e.DeletingAt, e.DeletedAt, nullable(b, e.Mending), nullable(b, e.Trouble))
}

// touchEnvironment notes that something around the environment changed.
func touchEnvironment(b *batch, e rollout.Environment) {
	b.exec(`WITH written AS (UPDATE environment SET version = version + 1 WHERE name = $1 AND version = $2 RETURNING 1)
		SELECT expect_one(count(*), 'environment') FROM written`, e.Name, e.Version)
}

func weightsText(b *batch, w rollout.Weights) string {
	if w == nil {
		return `{}`
	}
	return b.json(w)
}

// nullable is a json parameter that is NULL for nil.
func nullable[T any](b *batch, v *T) *string {
	if v == nil {
		return nil
	}
	text := b.json(v)
	return &text
}
