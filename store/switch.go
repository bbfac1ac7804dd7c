package store

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

const switchColumns = `environment, revision, kind, status, degraded, coalesce(from_number, 0), coalesce(to_number, 0), weights,
	actor, reason, coalesce(promotion, 0), warnings, committed_at, applied_at, drained_at`

func scanSwitch(row pgx.CollectableRow) (s rollout.Switch, err error) {
	err = row.Scan(&s.Environment, &s.Revision, &s.Kind, &s.Status, &s.Degraded, &s.From, &s.To, &s.Weights,
		&s.Actor, &s.Reason, &s.Promotion, &s.Warnings, &s.CommittedAt, &s.AppliedAt, &s.DrainedAt)
	if len(s.Warnings) == 0 {
		s.Warnings = nil
	}
	return s, err
}

// queuePresentSwitch loads the switch of the present revision, unless that was made in an earlier life of the name.
func queuePresentSwitch(b *batch, a *aggregate, environment string) {
	b.each(`SELECT `+switchColumns+` FROM switch
		WHERE environment = $1 AND revision = (SELECT revision FROM environment WHERE name = $1)`, func(row pgx.CollectableRow) error {
		s, err := scanSwitch(row)
		if !s.CommittedAt.Before(a.CreatedAt) {
			a.Switch = &s
		}
		return err
	}, environment)
}

// Switches lists the switches of an environment, newest first. An unknown environment is refused with not_found.
func (s *Store) Switches(ctx context.Context, environment string, p Paging) (Page[rollout.Switch], error) {
	before, err := p.afterNumber("switches", math.MaxInt64)
	if err != nil {
		return Page[rollout.Switch]{}, err
	}
	var out []rollout.Switch
	err = s.viewOf(ctx, environment, func(b *batch) {
		out = nil
		b.each(`SELECT `+switchColumns+` FROM switch WHERE environment = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3`,
			func(row pgx.CollectableRow) error {
				s, err := scanSwitch(row)
				out = append(out, s)
				return err
			}, environment, before, limit(p.Limit)+1)
	})
	return cut(out, p, "switches", func(s rollout.Switch) string { return strconv.FormatInt(s.Revision, 10) }), err
}

// Switch loads the switch of a revision. An unknown environment or revision is refused with not_found.
func (s *Store) Switch(ctx context.Context, environment string, revision int64) (rollout.Switch, error) {
	var found []rollout.Switch
	err := s.viewOf(ctx, environment, func(b *batch) {
		found = nil
		b.each(`SELECT `+switchColumns+` FROM switch WHERE environment = $1 AND revision = $2`, func(row pgx.CollectableRow) error {
			s, err := scanSwitch(row)
			found = append(found, s)
			return err
		}, environment, revision)
	})
	if err == nil && len(found) == 0 {
		err = rollout.Refuse(rollout.NotFound, fmt.Sprintf("environment %s has no switch with revision %d", environment, revision),
			"list them with GET /v1/environments/"+environment+"/switches")
	}
	if err != nil {
		return rollout.Switch{}, err
	}
	return found[0], nil
}

// writeSwitches records progress of known switches, and then the new one.
func writeSwitches(b *batch, t rollout.Transition) {
	for _, s := range t.UpdatedSwitches {
		b.exec(`WITH written AS (
				UPDATE switch SET status = $3, degraded = $4, applied_at = $5, drained_at = $6
				WHERE environment = $1 AND revision = $2 RETURNING 1)
			SELECT expect_one(count(*), 'switch') FROM written`,
			s.Environment, s.Revision, string(s.Status), s.Degraded, s.AppliedAt, s.DrainedAt)
	}
	if s := t.NewSwitch; s != nil {
		warnings := s.Warnings
		if warnings == nil {
			warnings = []string{}
		}
		b.exec(`INSERT INTO switch (environment, revision, kind, status, degraded, from_number, to_number, weights, actor, reason,
				promotion, warnings, committed_at, applied_at, drained_at)
			VALUES ($1, $2, $3, $4, $5, nullif($6::integer, 0), nullif($7::integer, 0), $8::jsonb, $9, $10, nullif($11::bigint, 0), $12::text[], $13, $14, $15)`,
			s.Environment, s.Revision, string(s.Kind), string(s.Status), s.Degraded, s.From, s.To, weightsText(b, s.Weights),
			s.Actor, s.Reason, s.Promotion, warnings, s.CommittedAt, s.AppliedAt, s.DrainedAt)
	}
}
