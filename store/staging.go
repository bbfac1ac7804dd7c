package store

import (
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

func queueStagings(b *batch, a *aggregate, environment string) {
	b.each(`SELECT generation, router, node, incarnation, spec_version, members_since FROM staging
		WHERE environment = $1 ORDER BY generation, router, node`, func(row pgx.CollectableRow) error {
		var s rollout.Staging
		var since *time.Time
		err := row.Scan(&s.Generation, &s.Router, &s.Node, &s.Incarnation, &s.SpecVersion, &since)
		s.MembersAt = timeOrZero(since)
		a.Stagings = append(a.Stagings, s)
		return err
	}, environment)
}

func writeStagings(b *batch, environment string, staged, unstaged []rollout.Staging) {
	for _, s := range unstaged {
		b.exec(`DELETE FROM staging WHERE environment = $1 AND generation = $2 AND router = $3 AND node = $4`,
			environment, s.Generation, s.Router, s.Node)
	}
	for _, s := range staged {
		b.exec(`INSERT INTO staging (environment, generation, router, node, incarnation, spec_version, members_since) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (environment, generation, router, node) DO UPDATE
			SET incarnation = excluded.incarnation, spec_version = excluded.spec_version, members_since = excluded.members_since`,
			environment, s.Generation, s.Router, s.Node, s.Incarnation, s.SpecVersion, timeOrNull(s.MembersAt))
	}
}
