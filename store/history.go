package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// History is what happened in an environment lately, newest first.
type History struct {
	Generations []rollout.Generation // retired ones too, without groups
	Switches    []rollout.Switch
	Promotions  []rollout.Promotion
	Events      []rollout.Event
}

// History loads the newest of each, as many as the limit says at most. Of an unknown environment there is none.
func (s *Store) History(ctx context.Context, environment string, most int) (History, error) {
	var h History
	err := s.view(ctx, func(b *batch) {
		h = History{}
		b.each(presentGenerations+` WHERE environment = $1 ORDER BY number DESC LIMIT $2`, func(row pgx.CollectableRow) error {
			g, err := scanGeneration(row)
			h.Generations = append(h.Generations, g)
			return err
		}, environment, most)
		b.each(`SELECT `+switchColumns+` FROM switch WHERE environment = $1 ORDER BY revision DESC LIMIT $2`, func(row pgx.CollectableRow) error {
			made, err := scanSwitch(row)
			h.Switches = append(h.Switches, made)
			return err
		}, environment, most)
		b.each(`SELECT `+promotionColumns+` FROM promotion WHERE environment = $1 ORDER BY id DESC LIMIT $2`, func(row pgx.CollectableRow) error {
			p, err := scanPromotion(row)
			h.Promotions = append(h.Promotions, p)
			return err
		}, environment, most)
		b.each(`SELECT `+auditColumns+` FROM event
			WHERE environment = $1 ORDER BY id DESC LIMIT $2`, func(row pgx.CollectableRow) error {
			e, err := scanEvent(row)
			h.Events = append(h.Events, e)
			return err
		}, environment, most)
	})
	return h, err
}

// SwitchesOf lists the switches that went to the generation or away from it, newest first, MaxLimit of them at most.
func (s *Store) SwitchesOf(ctx context.Context, environment string, generation int) ([]rollout.Switch, error) {
	var out []rollout.Switch
	err := s.view(ctx, func(b *batch) {
		out = nil
		b.each(`SELECT `+switchColumns+` FROM switch
			WHERE environment = $1 AND (from_number = $2 OR to_number = $2) ORDER BY revision DESC LIMIT $3`, func(row pgx.CollectableRow) error {
			made, err := scanSwitch(row)
			out = append(out, made)
			return err
		}, environment, generation, MaxLimit)
	})
	return out, err
}

// AuditFilter says which entries of the audit log are wanted. Environments are globs, as in [EventFilter]. Other empty
// fields do not restrict. Kind and Actor match any part of the text, whatever its case.
type AuditFilter struct {
	Environments []string
	Environment  string
	Kind         string
	Actor        string
	Generation   int
	Since, Until time.Time // at or after, before
	Before       int64     // only lower ids
	Limit        int       // 1 to MaxLimit; 0 means DefaultLimit
}

// Audit lists the entries of the audit log, newest first. Like [Store.Events] it takes a share of the connections only.
func (s *Store) Audit(ctx context.Context, f AuditFilter) ([]rollout.Event, error) {
	var out []rollout.Event
	err := s.view(ctx, func(b *batch) {
		out = nil
		b.each(`SELECT `+auditColumns+` FROM event
			WHERE environment LIKE ANY ($1::text[]) AND ($2 = '' OR environment = $2)
				AND ($3 = '' OR strpos(kind, lower($3)) > 0) AND ($4 = '' OR strpos(lower(actor), lower($4)) > 0)
				AND ($5::integer = 0 OR generation = $5::integer) AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
				AND ($8::bigint = 0 OR id < $8::bigint)
			ORDER BY id DESC LIMIT $9`, func(row pgx.CollectableRow) error {
			e, err := scanEvent(row)
			out = append(out, e)
			return err
		}, patterns(f.Environments), f.Environment, f.Kind, f.Actor, f.Generation, moment(f.Since), moment(f.Until), f.Before, limit(f.Limit))
	})
	return out, err
}

// moment is a time parameter that is NULL for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Colours are those of these generations of an environment, retired ones too.
func (s *Store) Colours(ctx context.Context, environment string, numbers map[int]bool) (map[int]rollout.Colour, error) {
	wanted := make([]int, 0, len(numbers))
	for n := range numbers {
		wanted = append(wanted, n)
	}
	var out map[int]rollout.Colour
	err := s.view(ctx, func(b *batch) {
		out = map[int]rollout.Colour{}
		b.each(`SELECT number, colour FROM generation WHERE environment = $1 AND number = ANY ($2::integer[])`, func(row pgx.CollectableRow) error {
			var number int
			var colour rollout.Colour
			err := row.Scan(&number, &colour)
			out[number] = colour
			return err
		}, environment, wanted)
	})
	return out, err
}
