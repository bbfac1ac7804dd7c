package store

import (
	"maps"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

func queueReceipts(b *batch, a *aggregate, environment string) {
	b.each(`SELECT router, node, incarnation, revision, spec_version, hash, weights, in_flight, at, grade, error FROM receipt
		WHERE environment = $1 ORDER BY router, node`, func(row pgx.CollectableRow) error {
		var r rollout.Receipt
		err := row.Scan(&r.Router, &r.Node, &r.Incarnation, &r.Revision, &r.SpecVersion, &r.Hash, &r.Weights, &r.InFlight, &r.At, &r.Grade, &r.Error)
		a.Receipts = append(a.Receipts, r)
		return err
	}, environment)
}

// writeReceipts keeps the last receipt of each node. One in which a fenced node goes back came late and is left out, as
// rollout does.
func writeReceipts(b *batch, environment string, receipts []rollout.Receipt) {
	for _, r := range receipts {
		inFlight := `{}`
		if len(r.InFlight) > 0 {
			inFlight = b.json(r.InFlight)
		}
		b.exec(`INSERT INTO receipt AS r (environment, router, node, incarnation, revision, spec_version, hash, weights, in_flight, at, grade, error)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9::jsonb, $10, $11, $12)
			ON CONFLICT (environment, router, node) DO UPDATE SET incarnation = excluded.incarnation, revision = excluded.revision,
				spec_version = excluded.spec_version, hash = excluded.hash, weights = excluded.weights, in_flight = excluded.in_flight,
				at = excluded.at, grade = excluded.grade, error = excluded.error
			WHERE r.incarnation <> excluded.incarnation OR excluded.grade <> 'fenced' OR excluded.revision >= greatest(r.revision, r.confirmed)`,
			environment, r.Router, r.Node, r.Incarnation, r.Revision, r.SpecVersion, r.Hash, weightsText(b, r.Weights), inFlight,
			r.At, string(r.Grade), r.Error)
	}
}

// deleteReceipts forgets what nodes did that have dropped the environment. Where its name is in use again by now, the
// schema keeps them, and the next receipt of the node takes their place.
func deleteReceipts(b *batch, environment string, forgotten []rollout.Node) {
	for _, n := range forgotten {
		b.exec(`DELETE FROM receipt WHERE environment = $1 AND router = $2 AND node = $3
			AND EXISTS (SELECT FROM environment WHERE name = $1 AND deleted_at IS NOT NULL)`, environment, n.Router, n.Name)
	}
}

// sameReceipt says whether the node does what it was last seen doing.
func sameReceipt(a, b rollout.Receipt) bool {
	return a.Router == b.Router && a.Node == b.Node && a.Incarnation == b.Incarnation && a.Revision == b.Revision &&
		a.SpecVersion == b.SpecVersion && a.Hash == b.Hash && a.Grade == b.Grade && a.Error == b.Error &&
		maps.Equal(a.Weights, b.Weights) && maps.Equal(a.InFlight, b.InFlight)
}
