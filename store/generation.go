package store

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

const generationColumns = `environment, number, version, artifact, metadata, sizes, colour, created_at, created_by,
	state, state_changed_at, reason, promote, waiting, announced, checked, keep_until, unweighted_revision, quiet_at, succeeded, adopts, adopted`

// presentGenerations are generations with the sizes of the groups that they follow, and since when they are so.
const presentGenerations = `SELECT ` + generationColumns + `, members_since, present_sizes FROM generation LEFT JOIN (
	SELECT environment, number, since AS members_since, sizes AS present_sizes FROM membership) AS m USING (environment, number)`

func scanGeneration(row pgx.CollectableRow) (g rollout.Generation, err error) {
	var since *time.Time
	var present map[string]int
	err = row.Scan(&g.Environment, &g.Number, &g.Version, &g.Artifact, &g.Metadata, &g.Sizes, &g.Colour, &g.CreatedAt, &g.CreatedBy,
		&g.State, &g.StateChangedAt, &g.Reason, &g.Promote, &g.Waiting, &g.Announced, &g.Checked, &g.KeepUntil,
		&g.UnweightedRevision, &g.QuietAt, &g.Succeeded, &g.Adopts, &g.Adopted,
		&since, &present)
	g.MembersAt = timeOrZero(since)
	maps.Copy(g.Sizes, present)
	if len(g.Adopts) == 0 {
		g.Adopts = nil
	}
	return g, err
}

// queueGenerations loads those that are not retired, and the named ones that are, by number and without groups.
func queueGenerations(b *batch, a *aggregate, environment string, named []int) {
	if named == nil {
		named = []int{}
	}
	b.each(presentGenerations+` WHERE environment = $1 AND state <> 'retired'
		UNION ALL
		`+presentGenerations+` WHERE environment = $1 AND state = 'retired' AND number = ANY ($2::integer[])
		ORDER BY number`, func(row pgx.CollectableRow) error {
		g, err := scanGeneration(row)
		a.Generations = append(a.Generations, g)
		return err
	}, environment, named)
}

// GenerationFilter says which generations are wanted: those in one of the states; none given means all.
type GenerationFilter struct {
	States []rollout.GenerationState
}

// Generations lists generations with their groups, newest first. An unknown environment is refused with not_found.
func (s *Store) Generations(ctx context.Context, environment string, f GenerationFilter, p Paging) (Page[rollout.Generation], error) {
	before, err := p.afterNumber("generations", math.MaxInt32)
	if err != nil {
		return Page[rollout.Generation]{}, err
	}
	states := []string{}
	for _, state := range f.States {
		states = append(states, string(state))
	}
	var out []rollout.Generation
	err = s.viewOf(ctx, environment, func(b *batch) {
		out = nil
		b.each(presentGenerations+`
			WHERE environment = $1 AND number < $2 AND (cardinality($3::text[]) = 0 OR state = ANY ($3::text[]))
			ORDER BY number DESC LIMIT $4`, func(row pgx.CollectableRow) error {
			g, err := scanGeneration(row)
			out = append(out, g)
			return err
		}, environment, before, states, limit(p.Limit)+1)
	})
	if err != nil {
		return Page[rollout.Generation]{}, err
	}
	page := cut(out, p, "generations", func(g rollout.Generation) string { return strconv.Itoa(g.Number) })
	return page, s.fillGroups(ctx, environment, page.Items)
}

// fillGroups loads groups in a transaction of their own. One that is followed may have later members by then than the
// generation's MembersAt says.
func (s *Store) fillGroups(ctx context.Context, environment string, generations []rollout.Generation) error {
	numbers := []int{}
	for _, g := range generations {
		numbers = append(numbers, g.Number)
	}
	var groups map[int][]rollout.Group
	err := s.view(ctx, func(b *batch) {
		groups = map[int][]rollout.Group{}
		queueGroups(b, groups, environment, numbers)
	})
	for i, g := range generations {
		g.Groups = groups[g.Number]
		generations[i] = g.WithAdoptions()
	}
	return err
}

// Generation loads one generation with its groups. An unknown environment or generation is refused with not_found.
func (s *Store) Generation(ctx context.Context, environment string, number int) (rollout.Generation, error) {
	var found []rollout.Generation
	var groups map[int][]rollout.Group
	err := s.viewOf(ctx, environment, func(b *batch) {
		found, groups = nil, map[int][]rollout.Group{}
		b.each(presentGenerations+` WHERE environment = $1 AND number = $2`, func(row pgx.CollectableRow) error {
			g, err := scanGeneration(row)
			found = append(found, g)
			return err
		}, environment, number)
		queueGroups(b, groups, environment, []int{number})
	})
	if err == nil && len(found) == 0 {
		err = rollout.Refuse(rollout.NotFound, fmt.Sprintf("environment %s has no generation %d", environment, number),
			"list them with GET /v1/environments/"+environment+"/generations")
	}
	if err != nil {
		return rollout.Generation{}, err
	}
	found[0].Groups = groups[number]
	return found[0].WithAdoptions(), nil
}

// insertGeneration records a registration with its instances, and claims these.
func insertGeneration(b *batch, g rollout.Generation) {
	metadata := `{}`
	if len(g.Metadata) > 0 {
		metadata = b.json(g.Metadata)
	}
	b.exec(`INSERT INTO generation (`+generationColumns+`)
		VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6::jsonb, $7, $8, $9, 'registered', $10, $11, $12, $13, $14, $15::jsonb, $16, $17, $18, $19, $20::jsonb, $21)`,
		g.Environment, g.Number, g.Version, nullable(b, g.Artifact), metadata, b.json(g.Sizes), string(g.Colour), g.CreatedAt, g.CreatedBy,
		g.StateChangedAt, g.Reason, g.Promote, g.Waiting, g.Announced, b.json(g.Checked), g.KeepUntil, g.UnweightedRevision, g.QuietAt, g.Succeeded,
		adoptsText(b, g), g.Adopted)
	insertInstances(b, g, 0)
	claimInstances(b, g.Environment, g.Number)
}

func adoptsText(b *batch, g rollout.Generation) string {
	if len(g.Adopts) == 0 {
		return `{}`
	}
	return b.json(g.Adopts)
}

// updateGeneration moves a generation from one state to the next, or writes it in the state it has, with all that may
// change of it. It fails the transaction when the generation is not in the state from.
func updateGeneration(b *batch, g rollout.Generation, from, to rollout.GenerationState) {
	b.exec(`WITH moved AS (
			UPDATE generation SET state = $4, state_changed_at = $5, reason = $6, promote = $7, waiting = $8, announced = $9,
				checked = $10::jsonb, keep_until = $11, unweighted_revision = $12, quiet_at = $13, succeeded = $14, adopted = $15
			WHERE environment = $1 AND number = $2 AND state = $3 RETURNING 1)
		SELECT expect_one(count(*), 'generation') FROM moved`,
		g.Environment, g.Number, string(from), string(to), g.StateChangedAt, g.Reason, g.Promote, g.Waiting, g.Announced,
		b.json(g.Checked), g.KeepUntil, g.UnweightedRevision, g.QuietAt, g.Succeeded, g.Adopted)
}

// writeGenerations writes the registration, the moves in their order, and what else changed; and it keeps the claims
// on instances in step with the states.
func writeGenerations(b *batch, before aggregate, t rollout.Transition) {
	if t.Registered != nil {
		insertGeneration(b, *t.Registered)
	}
	writeMembers(b, before, t, true)
	moved := map[int]bool{}
	for _, m := range t.Moves {
		g, _ := t.After.Generation(m.Generation)
		updateGeneration(b, g, m.From, m.To)
		moved[m.Generation] = true
	}
	var claim []int
	for _, number := range t.Changed {
		g, _ := t.After.Generation(number)
		if !moved[number] {
			updateGeneration(b, g, g.State, g.State)
			continue
		}
		old, _ := before.Generation(number)
		switch had, has := old.State.Holds(), g.State.Holds(); {
		case had && !has:
			releaseInstances(b, g.Environment, number)
		case !had && has:
			claim = append(claim, number)
		}
		if g.State == rollout.Retired {
			deleteReadings(b, g.Environment, number)
		}
	}
	if a := t.Adopted; a != nil {
		g, _ := t.After.Generation(a.Generation)
		g.Groups = a.Groups
		listed := 0
		for service, size := range g.Sizes {
			if _, adopted := g.Adopts[service]; !adopted {
				listed += size
			}
		}
		insertInstances(b, g, listed)
		if !g.MembersAt.IsZero() {
			insertMembers(b, g)
		}
		claim = append(claim, a.Generation)
	}
	claim = append(claim, writeMembers(b, before, t, false)...)
	for _, number := range claim {
		claimInstances(b, before.Name, number)
	}
}
