package store

import (
	"context"
	"errors"
	"regexp"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// claimHosts makes the hosts of the environment's spec its own. The primary key refuses one that is another's.
func claimHosts(b *batch, e rollout.Environment) {
	hosts := []string{}
	for _, service := range e.Spec.Services {
		hosts = append(hosts, e.Spec.EffectiveHosts(e.Name, service)...)
	}
	b.exec(`DELETE FROM host_claim WHERE environment = $1 AND host <> ALL ($2::text[])`, e.Name, hosts)
	// In one order, so that two environments that want the same hosts do not wait for each other.
	b.exec(`INSERT INTO host_claim (host, environment)
		SELECT DISTINCT wanted.host, $1 FROM unnest($2::text[]) AS wanted (host)
		WHERE NOT EXISTS (SELECT FROM host_claim c WHERE c.host = wanted.host AND c.environment = $1)
		ORDER BY wanted.host`, e.Name, hosts)
}

func releaseHosts(b *batch, environment string) {
	b.exec(`DELETE FROM host_claim WHERE environment = $1`, environment)
}

// In whatever language the server speaks, the values stand in these brackets.
var keyOfDetail = regexp.MustCompile(`=\((.*)\)`)

// hostInUse explains a host that is another environment's; nil when it is free by now.
func (s *Store) hostInUse(ctx context.Context, detail string) error {
	match := keyOfDetail.FindStringSubmatch(detail)
	if match == nil {
		return rollout.Refuse(rollout.HostInUse, "a host belongs to another environment", "use another host")
	}
	var owner string
	err := s.view(ctx, func(b *batch) {
		b.row(`SELECT environment FROM host_claim WHERE host = $1`, func(row pgx.Row) error { return row.Scan(&owner) }, match[1])
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return rollout.Refuse(rollout.HostInUse, "host "+match[1]+" belongs to environment "+owner,
		"use another host, or take it out of the spec of "+owner)
}
