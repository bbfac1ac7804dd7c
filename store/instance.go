package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// queueGroups loads the groups of generations, by number, in the order in which they were registered.
func queueGroups(b *batch, into map[int][]rollout.Group, environment string, numbers []int) {
	b.each(`SELECT number, service, id, address, port, meta FROM present_instance
		WHERE environment = $1 AND number = ANY ($2::integer[]) ORDER BY number, place, position`, func(row pgx.CollectableRow) error {
		var number int
		var service string
		var in rollout.Instance
		if err := row.Scan(&number, &service, &in.ID, &in.Address, &in.Port, &in.Meta); err != nil {
			return err
		}
		if len(in.Meta) == 0 {
			in.Meta = nil
		}
		groups := into[number]
		if n := len(groups); n == 0 || groups[n-1].Service != service {
			groups = append(groups, rollout.Group{Service: service})
		}
		last := &groups[len(groups)-1]
		last.Instances = append(last.Instances, in)
		into[number] = groups
		return nil
	}, environment, numbers)
}

// insertInstances writes groups of a generation. Positions count over all its groups, from those that it has already.
func insertInstances(b *batch, g rollout.Generation, has int) {
	var services, ids, addresses, metas []string
	var positions, ports []int
	for _, group := range g.Groups {
		for _, in := range group.Instances {
			meta := `{}`
			if len(in.Meta) > 0 {
				meta = b.json(in.Meta)
			}
			services, ids, addresses, metas = append(services, group.Service), append(ids, in.ID), append(addresses, in.Address), append(metas, meta)
			positions, ports = append(positions, has+len(positions)+1), append(ports, in.Port)
		}
	}
	b.exec(`INSERT INTO instance (environment, number, service, position, id, address, port, meta)
		SELECT $1, $2, i.service, i.position, i.id, i.address, i.port, i.meta::jsonb
		FROM unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::integer[], $8::text[])
			AS i (service, position, id, address, port, meta)`,
		g.Environment, g.Number, services, positions, ids, addresses, ports, metas)
}

// claimInstances makes the addresses and ports of a generation its own, as far as they are not yet. The primary key refuses one that belongs to
// another generation that may still serve.
func claimInstances(b *batch, environment string, number int) {
	// In one order, so that two generations with the same instances do not wait for each other.
	b.exec(`INSERT INTO instance_claim (address, port, environment, generation)
		SELECT DISTINCT address, port, environment, number FROM present_instance i WHERE environment = $1 AND number = $2
			AND NOT EXISTS (SELECT FROM instance_claim c WHERE c.environment = $1 AND c.generation = $2 AND c.address = i.address AND c.port = i.port)
		ORDER BY address, port`,
		environment, number)
}

func releaseInstances(b *batch, environment string, number int) {
	b.exec(`DELETE FROM instance_claim WHERE environment = $1 AND generation = $2`, environment, number)
}

// In whatever language the server speaks, the values stand in these brackets.
var placeOfDetail = regexp.MustCompile(`=\((.*), ([0-9]+)\)`)

// instanceInUse explains an address and port that is another generation's; nil when it is free by now.
func (s *Store) instanceInUse(ctx context.Context, detail string) error {
	const fix = "register instances that were started for this generation, or retire the one that has them"
	match := placeOfDetail.FindStringSubmatch(detail)
	if match == nil {
		return rollout.Refuse(rollout.InstanceInUse, "an instance belongs to another generation that may still serve", fix)
	}
	port, err := strconv.Atoi(match[2])
	if err != nil {
		return err
	}
	var environment string
	var number int
	err = s.view(ctx, func(b *batch) {
		b.row(`SELECT environment, generation FROM instance_claim WHERE address = $1 AND port = $2`, func(row pgx.Row) error {
			return row.Scan(&environment, &number)
		}, match[1], port)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return rollout.Refuse(rollout.InstanceInUse,
		fmt.Sprintf("%s:%d belongs to generation %d of environment %s, which may still serve", match[1], port, number, environment), fix)
}
