package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
	"viridian/rollout/controller"
)

const nodeColumns = `router, name, incarnation, version, seen_at, removed`

func scanNode(row pgx.CollectableRow) (n rollout.Node, err error) {
	err = row.Scan(&n.Router, &n.Name, &n.Incarnation, &n.Version, &n.SeenAt, &n.Removed)
	return n, err
}

// queueNodes loads the nodes of the routers in the spec, which is loaded before.
func queueNodes(b *batch, a *aggregate) {
	b.each(`SELECT `+nodeColumns+` FROM node WHERE NOT removed ORDER BY router, name`, func(row pgx.CollectableRow) error {
		n, err := scanNode(row)
		a.allNodes = append(a.allNodes, n)
		if slices.Contains(a.Spec.Routers, n.Router) {
			a.Nodes = append(a.Nodes, n)
		}
		return err
	})
}

// nodesOf are those of the routers that a changed spec names.
func (a *aggregate) nodesOf(spec rollout.Spec) []rollout.Node {
	return slices.DeleteFunc(slices.Clone(a.allNodes), func(n rollout.Node) bool { return !slices.Contains(spec.Routers, n.Router) })
}

// Nodes lists the nodes of all routers, removed ones too, with the database's time.
func (s *Store) Nodes(ctx context.Context) ([]rollout.Node, time.Time, error) {
	var out []rollout.Node
	var now time.Time
	err := s.view(ctx, func(b *batch) {
		out = nil
		b.each(`SELECT `+nodeColumns+` FROM node ORDER BY router, name`, func(row pgx.CollectableRow) error {
			n, err := scanNode(row)
			out = append(out, n)
			return err
		})
		b.row(`SELECT clock_timestamp()`, func(row pgx.Row) error { return row.Scan(&now) })
	})
	return out, now.Truncate(time.Microsecond), err
}

// Heartbeat records that the node is alive, and brings it back when it was removed. SeenAt and Removed of the argument
// do not matter. While another incarnation of the name was heard of within quiet, it is controller.ErrNameTaken.
func (s *Store) Heartbeat(ctx context.Context, n rollout.Node, quiet time.Duration) error {
	var heard bool
	err := s.write(ctx, func(b *batch) {
		heard = false
		b.each(`INSERT INTO node AS n (router, name, incarnation, version, seen_at, removed, changes)
			VALUES ($1, $2, $3, $4, clock_timestamp(), false, 1)
			ON CONFLICT (router, name) DO UPDATE SET incarnation = excluded.incarnation, version = excluded.version,
				seen_at = clock_timestamp(), removed = false,
				changes = n.changes + CASE WHEN n.removed OR n.incarnation <> excluded.incarnation THEN 1 ELSE 0 END
			WHERE n.removed OR n.incarnation = excluded.incarnation OR n.seen_at < clock_timestamp() - $5::interval
			RETURNING true`, func(row pgx.CollectableRow) error { return row.Scan(&heard) },
			n.Router, n.Name, n.Incarnation, n.Version, quiet)
	})
	if err == nil && !heard {
		return fmt.Errorf("node %s of router %s: %w", n.Name, n.Router, controller.ErrNameTaken)
	}
	return err
}

// SignOff removes the node at the end of its run. When another incarnation has taken its place already, nothing changes.
func (s *Store) SignOff(ctx context.Context, n rollout.Node) error {
	_, err := s.removeNode(ctx, nodeRemoval{router: n.Router, name: n.Name, actor: rollout.System, incarnation: n.Incarnation})
	return err
}

// RemoveNode takes a node out that is gone for good: it is required for nothing any more, and blocks nothing. One that
// was heard of lately is refused with conflict, an unknown one with not_found. Key may be nil.
func (s *Store) RemoveNode(ctx context.Context, router, name string, actor rollout.Actor, key *controller.IdempotencyKey) (controller.Outcome, error) {
	return s.removeNode(ctx, nodeRemoval{router: router, name: name, actor: actor, key: key})
}

// nodeRemoval is asked for by an operator, or by the node of the incarnation.
type nodeRemoval struct {
	router, name, incarnation string
	actor                     rollout.Actor
	key                       *controller.IdempotencyKey
}

func (s *Store) removeNode(ctx context.Context, r nodeRemoval) (controller.Outcome, error) {
	var node *rollout.Node
	var end chain
	var out controller.Outcome
	record, err := s.take(ctx, turn{key: r.key,
		load: func(b *batch) {
			node = nil
			lockChain(b, &end)
			b.each(`SELECT `+nodeColumns+` FROM node WHERE router = $1 AND name = $2 FOR UPDATE`, func(row pgx.CollectableRow) error {
				n, err := scanNode(row)
				node = &n
				return err
			}, r.router, r.name)
		},
		decide: func(now time.Time, w *writes) error {
			w.chain = end
			out = controller.Outcome{}
			if err := s.nodeKept(r, node, now); err != nil {
				return err
			}
			if out.Changed = !node.Removed && (r.incarnation == "" || r.incarnation == node.Incarnation); out.Changed {
				w.exec(`UPDATE node SET removed = true, changes = changes + 1 WHERE router = $1 AND name = $2`, r.router, r.name)
				w.events = []rollout.Event{{Kind: rollout.EventNodeRemoved, Actor: r.actor.String(), At: now,
					Data: map[string]any{"router": r.router, "node": r.name, "incarnation": node.Incarnation}}}
				w.notify = []string{""}
			}
			w.answer = answerOf(out.Answer)
			return nil
		},
	})
	if err != nil || record == nil {
		return out, err
	}
	return replayed(record)
}

// nodeKept says why a node cannot be taken out; nil when it can.
func (s *Store) nodeKept(r nodeRemoval, node *rollout.Node, now time.Time) error {
	switch {
	case node == nil:
		return rollout.Refuse(rollout.NotFound, fmt.Sprintf("router %s has no node %s", r.router, r.name), "list them with GET /v1/routers")
	case r.incarnation == "" && !node.Removed && now.Sub(node.SeenAt) <= s.timing.Silence:
		return rollout.Refuse(rollout.Conflict,
			fmt.Sprintf("node %s of router %s was heard of %s ago", r.name, r.router, now.Sub(node.SeenAt).Round(time.Millisecond)),
			"stop it first; one that is silent can be taken out")
	case r.incarnation == "" && !node.Removed && node.EverSeen() && now.Sub(s.heardSince(now)) <= s.timing.Silence:
		return rollout.Refuse(rollout.Conflict, "the database was away until a moment ago, and nobody could be heard",
			fmt.Sprintf("ask again when the node was silent for %s since then", s.timing.Silence))
	}
	return nil
}
