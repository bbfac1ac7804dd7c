package store

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// Taken says, by address and port ([rollout.Instance.Target]), which of the instances belong to another generation that
// may serve than this one, and to which, as a text for people.
func (s *Store) Taken(ctx context.Context, environment string, number int, instances []rollout.Instance) (map[string]string, error) {
	taken := map[string]string{}
	var addresses []string
	var ports []int
	for _, in := range instances {
		addresses, ports = append(addresses, in.Address), append(ports, in.Port)
	}
	err := s.view(ctx, func(b *batch) {
		b.each(`SELECT c.address, c.port, c.environment, c.generation FROM instance_claim c
			JOIN unnest($3::text[], $4::integer[]) AS i (address, port) USING (address, port) WHERE (c.environment, c.generation) <> ($1, $2)`,
			func(row pgx.CollectableRow) error {
				var address, owner string
				var port, generation int
				err := row.Scan(&address, &port, &owner, &generation)
				taken[net.JoinHostPort(address, strconv.Itoa(port))] = "generation " + strconv.Itoa(generation) + " of environment " + owner
				return err
			}, environment, number, addresses, ports)
	})
	return taken, err
}

// insertMembers begins to follow the groups that a generation has adopted.
func insertMembers(b *batch, g rollout.Generation) {
	b.exec(`INSERT INTO membership (environment, number, since, groups) VALUES ($1, $2, $3, $4::jsonb)`,
		g.Environment, g.Number, g.MembersAt, membersText(b, slices.DeleteFunc(slices.Clone(g.Groups), func(group rollout.Group) bool {
			return g.Adopts[group.Service].Membership != rollout.Follow
		})))
}

// writeMembers writes the groups that got other members, and lists their generations, whose claims are to be made anew.
// A generation of which only the time is new is to be staged again as it is. Members are those of a generation that may
// serve: of one that may not any more after the transition they are written with leaving, before its state is.
func writeMembers(b *batch, before aggregate, t rollout.Transition, leaving bool) (claim []int) {
	for _, g := range t.After.Generations {
		old, known := before.Generation(g.Number)
		if !known || old.MembersAt.IsZero() || old.MembersAt.Equal(g.MembersAt) || g.State.Holds() == leaving {
			continue
		}
		groups := `{}`
		if i := slices.IndexFunc(t.Members, func(m rollout.Members) bool { return m.Generation == g.Number }); i >= 0 {
			groups = membersText(b, t.Members[i].Groups)
			claim = append(claim, g.Number)
		}
		b.exec(`WITH changed AS (UPDATE membership SET since = $3, groups = groups || $4::jsonb
				WHERE environment = $1 AND number = $2 AND since = $5 RETURNING 1)
			SELECT expect_one(count(*), 'membership') FROM changed`, g.Environment, g.Number, g.MembersAt, groups, old.MembersAt)
		b.exec(`DELETE FROM instance_claim c WHERE environment = $1 AND generation = $2 AND NOT EXISTS (
			SELECT FROM present_instance i WHERE i.environment = $1 AND i.number = $2 AND i.address = c.address AND i.port = c.port)`,
			g.Environment, g.Number)
	}
	return claim
}

func membersText(b *batch, groups []rollout.Group) string {
	members := map[string][]rollout.Instance{}
	for _, group := range groups {
		members[group.Service] = group.Instances
	}
	return b.json(members)
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
