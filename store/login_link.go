package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// NewLoginLink records a link that signs in once with the token. Only the hash of its secret is kept.
func (s *Store) NewLoginLink(ctx context.Context, secret, token string, lifetime time.Duration) error {
	return s.write(ctx, func(b *batch) {
		b.exec(`INSERT INTO login_link (hash, token, created_at, expires_at) VALUES ($1, $2, clock_timestamp(), clock_timestamp() + $3::interval)
			ON CONFLICT (hash) DO NOTHING`, secretHash(secret), token, lifetime)
	})
}

// LoginLink returns the id of the token that the link would sign in with now, and changes nothing. A link that is
// unknown, used or too old is refused with not_found.
func (s *Store) LoginLink(ctx context.Context, secret string) (token string, err error) {
	err = s.view(ctx, func(b *batch) {
		token = ""
		b.each(`SELECT token FROM login_link WHERE hash = $1 AND used_at IS NULL AND expires_at > clock_timestamp()`,
			func(row pgx.CollectableRow) error { return row.Scan(&token) }, secretHash(secret))
	})
	return token, orNoLink(token, err)
}

// UseLoginLink spends the link and returns the id of its token. Of any number of callers one is let in; the others are
// refused with not_found, as is one whose link is unknown or too old.
func (s *Store) UseLoginLink(ctx context.Context, secret string) (token string, err error) {
	record, err := s.take(ctx, turn{definite: true,
		load: func(b *batch) {
			token = ""
			b.each(`SELECT token FROM login_link WHERE hash = $1 AND used_at IS NULL AND expires_at > clock_timestamp() FOR UPDATE`,
				func(row pgx.CollectableRow) error { return row.Scan(&token) }, secretHash(secret))
		},
		decide: func(now time.Time, w *writes) error {
			if token == "" {
				return orNoLink(token, nil)
			}
			w.answer = tokenAnswer{Token: token, Changed: true}
			w.exec(`UPDATE login_link SET used_at = $2 WHERE hash = $1`, secretHash(secret), now)
			return nil
		},
	})
	if err != nil || record == nil {
		return token, err
	}
	var answer tokenAnswer // the commit was in doubt, and has been asked for
	err = record.read(&answer)
	return answer.Token, err
}

func orNoLink(token string, err error) error {
	if err == nil && token == "" {
		return rollout.Refuse(rollout.NotFound, "this link was used already, or is too old", "sign in with a token, or have a new link made")
	}
	return err
}
