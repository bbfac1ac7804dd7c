package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ChainReport is what the verification of one hash chain found. Intact means that from the first event to the head
// that the database keeps beside the chain, every hash is right. That head can be falsified with the rest by who owns
// the tables, so compare Head and Length with ones that were noted elsewhere.
type ChainReport struct {
	Environment string
	Length      int64
	Head        string // hash of the last event
	Intact      bool
	// Position is the first place that is wrong, 0 when nothing is; Problem says what.
	Position int64
	Problem  string
}

// verifyPage is how many events are looked at in one transaction.
const verifyPage = 1000

// VerifyChain walks the hash chain of an environment ("" for what belongs to none) and checks every link. What is
// found wrong is in the report; an error means that the chain could not be read. Events that are added meanwhile
// are not looked at.
func (s *Store) VerifyChain(ctx context.Context, environment string) (ChainReport, error) {
	report := ChainReport{Environment: environment}
	var want chain
	if err := s.view(ctx, func(b *batch) { queueChain(b, &want, environment) }); err != nil {
		return report, err
	}
	var lastID int64
	for report.Length < want.length {
		before := report.Length
		err := s.view(ctx, func(b *batch) {
			b.each(`SELECT id, environment, position, kind, actor, at, revision, generation, data::text, prev_hash, hash FROM event
				WHERE environment = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $4`, func(row pgx.CollectableRow) error {
				if report.Problem != "" {
					return nil
				}
				return report.link(row, &lastID)
			}, environment, report.Length, want.length, verifyPage)
		})
		if err != nil || report.Problem != "" {
			return report, err
		}
		if report.Length == before {
			report.wrong(before+1, "the event is missing")
			return report, nil
		}
	}
	if report.Head != want.head {
		report.wrong(want.length, "the chain ends with another hash than was recorded")
	}
	report.Intact = report.Problem == ""
	return report, nil
}

// link checks one event against the chain before it.
func (r *ChainReport) link(row pgx.CollectableRow, lastID *int64) error {
	e, position, err := scanEvent(row)
	if err != nil {
		return err
	}
	sum := hashed{prevHash: e.PrevHash, chain: e.Environment, position: position, kind: e.Kind, actor: e.Actor, at: e.At,
		revision: e.Revision, generation: int64(e.Generation), data: e.Raw}.sum()
	switch {
	case position != r.Length+1:
		r.wrong(r.Length+1, "the event is missing")
	case e.PrevHash != r.Head:
		r.wrong(position, "it does not follow the event before it")
	case sum != e.Hash:
		r.wrong(position, "its content is not what was hashed")
	case e.ID <= *lastID:
		r.wrong(position, fmt.Sprintf("its id %d does not follow %d", e.ID, *lastID))
	default:
		r.Length, r.Head, *lastID = position, e.Hash, e.ID
	}
	return nil
}

func (r *ChainReport) wrong(position int64, problem string) {
	r.Position, r.Problem = position, problem
}
