package store

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

const promotionColumns = `environment, id, generation, coalesce(from_number, 0), state, reason, actor, revision, started_at, ended_at`

func scanPromotion(row pgx.CollectableRow) (p rollout.Promotion, err error) {
	err = row.Scan(&p.Environment, &p.ID, &p.Generation, &p.From, &p.State, &p.Reason, &p.Actor, &p.Revision, &p.StartedAt, &p.EndedAt)
	return p, err
}

func queueOpenPromotion(b *batch, a *aggregate, environment string) {
	b.each(`SELECT `+promotionColumns+` FROM promotion WHERE environment = $1 AND state IN ('shifting', 'paused', 'baking')`,
		func(row pgx.CollectableRow) error {
			p, err := scanPromotion(row)
			a.Promotion = &p
			return err
		}, environment)
}

// Promotions lists the promotions of an environment, newest first. An unknown environment is refused with not_found.
func (s *Store) Promotions(ctx context.Context, environment string, p Paging) (Page[rollout.Promotion], error) {
	before, err := p.afterNumber("promotions", math.MaxInt64)
	if err != nil {
		return Page[rollout.Promotion]{}, err
	}
	var out []rollout.Promotion
	err = s.viewOf(ctx, environment, func(b *batch) {
		out = nil
		b.each(`SELECT `+promotionColumns+` FROM promotion WHERE environment = $1 AND id < $2 ORDER BY id DESC LIMIT $3`,
			func(row pgx.CollectableRow) error {
				p, err := scanPromotion(row)
				out = append(out, p)
				return err
			}, environment, before, limit(p.Limit)+1)
	})
	return cut(out, p, "promotions", func(p rollout.Promotion) string { return strconv.FormatInt(p.ID, 10) }), err
}

// Promotion loads one promotion. An unknown environment or promotion is refused with not_found.
func (s *Store) Promotion(ctx context.Context, environment string, id int64) (rollout.Promotion, error) {
	var found []rollout.Promotion
	err := s.viewOf(ctx, environment, func(b *batch) {
		found = nil
		b.each(`SELECT `+promotionColumns+` FROM promotion WHERE environment = $1 AND id = $2`, func(row pgx.CollectableRow) error {
			p, err := scanPromotion(row)
			found = append(found, p)
			return err
		}, environment, id)
	})
	if err == nil && len(found) == 0 {
		err = rollout.Refuse(rollout.NotFound, fmt.Sprintf("environment %s has no promotion %d", environment, id),
			"list them with GET /v1/environments/"+environment+"/promotions")
	}
	if err != nil {
		return rollout.Promotion{}, err
	}
	return found[0], nil
}

// writePromotions inserts new promotions and moves known ones on, from the state in which they were loaded.
func writePromotions(b *batch, before aggregate, promotions []rollout.Promotion) {
	for _, p := range promotions {
		if p.ID > before.LastPromotion {
			b.exec(`INSERT INTO promotion (environment, id, generation, from_number, state, reason, actor, revision, started_at, ended_at)
				VALUES ($1, $2, $3, nullif($4::integer, 0), $5, $6, $7, $8, $9, $10)`,
				p.Environment, p.ID, p.Generation, p.From, string(p.State), p.Reason, p.Actor, p.Revision, p.StartedAt, p.EndedAt)
			continue
		}
		var from rollout.PromotionState
		if before.Promotion != nil && before.Promotion.ID == p.ID {
			from = before.Promotion.State
		}
		b.exec(`WITH moved AS (
				UPDATE promotion SET state = $4, reason = $5, revision = $6, ended_at = $7
				WHERE environment = $1 AND id = $2 AND state = $3 RETURNING 1)
			SELECT expect_one(count(*), 'promotion') FROM moved`,
			p.Environment, p.ID, string(from), string(p.State), p.Reason, p.Revision, p.EndedAt)
	}
}
