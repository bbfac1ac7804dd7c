package store

import (
	"context"
	"time"

	"viridian/rollout"
)

// Enrol makes nodes known that are configured and were never heard of. What is known of a node already stays as it is:
// one that was taken out is not brought back by a configuration that still has it.
func (s *Store) Enrol(ctx context.Context, nodes []rollout.Node) error {
	if len(nodes) == 0 {
		return nil
	}
	routers, names, _ := columns(nodes)
	return s.write(ctx, func(b *batch) {
		b.exec(`INSERT INTO node (router, name, incarnation, version, seen_at, removed, changes)
			SELECT router, name, '', '', 'epoch', false, 1 FROM unnest($1::text[], $2::text[]) configured (router, name) ORDER BY router, name
			ON CONFLICT (router, name) DO NOTHING`, routers, names)
	})
}

// Pulse records that nodes which are no replicas have answered. Each is in the incarnation that it says from now on, and
// is back when it was removed. Of one that was heard of within fresh in this incarnation nothing is written, so that many
// replicas may tell the same. A crash may lose it: it would soon be old anyway.
func (s *Store) Pulse(ctx context.Context, nodes []rollout.Node, fresh time.Duration) error {
	if len(nodes) == 0 {
		return nil
	}
	routers, names, incarnations := columns(nodes)
	return s.write(ctx, func(b *batch) {
		b.exec(`SELECT set_config('synchronous_commit', 'off', true)`)
		b.exec(`INSERT INTO node AS n (router, name, incarnation, version, seen_at, removed, changes)
			SELECT router, name, incarnation, '', clock_timestamp(), false, 1
			FROM unnest($1::text[], $2::text[], $3::text[]) answered (router, name, incarnation)
			WHERE NOT EXISTS (SELECT FROM node o WHERE o.router = answered.router AND o.name = answered.name
				AND o.incarnation = answered.incarnation AND NOT o.removed AND o.seen_at > clock_timestamp() - $4::interval)
			ORDER BY router, name
			ON CONFLICT (router, name) DO UPDATE SET incarnation = excluded.incarnation, version = excluded.version,
				seen_at = clock_timestamp(), removed = false,
				changes = n.changes + CASE WHEN n.removed OR n.incarnation <> excluded.incarnation THEN 1 ELSE 0 END
			WHERE n.removed OR n.incarnation <> excluded.incarnation OR n.seen_at <= clock_timestamp() - $4::interval`,
			routers, names, incarnations, fresh)
	})
}

// columns are the nodes as arrays.
func columns(nodes []rollout.Node) (routers, names, incarnations []string) {
	for _, n := range nodes {
		routers, names, incarnations = append(routers, n.Router), append(names, n.Name), append(incarnations, n.Incarnation)
	}
	return routers, names, incarnations
}
