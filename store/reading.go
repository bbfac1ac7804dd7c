package store

import (
	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

func queueReadings(b *batch, a *aggregate, environment string) {
	b.each(`SELECT generation, service, healthy, unhealthy, total, at, detail, drift, mismatched FROM reading
		WHERE environment = $1 ORDER BY generation, service`, func(row pgx.CollectableRow) error {
		var r rollout.Reading
		err := row.Scan(&r.Generation, &r.Service, &r.Healthy, &r.Unhealthy, &r.Total, &r.At, &r.Detail, &r.Drift, &r.Mismatched)
		a.Readings = append(a.Readings, r)
		return err
	}, environment)
}

func writeReadings(b *batch, environment string, readings []rollout.Reading) {
	for _, r := range readings {
		b.exec(`INSERT INTO reading (environment, generation, service, healthy, unhealthy, total, at, detail, drift, mismatched)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (environment, generation, service) DO UPDATE SET healthy = excluded.healthy, unhealthy = excluded.unhealthy,
				total = excluded.total, at = excluded.at, detail = excluded.detail,
				drift = excluded.drift, mismatched = excluded.mismatched`,
			environment, r.Generation, r.Service, r.Healthy, r.Unhealthy, r.Total, r.At, r.Detail, r.Drift, r.Mismatched)
	}
}

// deleteReadings forgets the health of a generation that is gone.
func deleteReadings(b *batch, environment string, generation int) {
	b.exec(`DELETE FROM reading WHERE environment = $1 AND generation = $2`, environment, generation)
}

// sameReading says whether the health is what it was last time.
func sameReading(a, b rollout.Reading) bool {
	b.At = a.At
	return a == b
}
