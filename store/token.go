package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// Token is the right to call. Only the hash of its secret is kept.
type Token struct {
	ID           string
	Name         string
	Role         string // viewer, deployer, operator or admin
	Environments []string
	Hash         []byte // SHA-256
	CreatedAt    time.Time
	CreatedBy    string
	ExpiresAt    *time.Time
	LastUsedAt   *time.Time
	RevokedAt    *time.Time
}

// NewToken asks for a token. ID is unique; Hash has 32 bytes; a Lifetime of 0 means that it does not expire.
type NewToken struct {
	Actor        rollout.Actor
	ID           string
	Name         string
	Role         string
	Environments []string
	Hash         []byte
	Lifetime     time.Duration
}

//nolint:gosec // column names, no credential
const tokenColumns = `id, name, role, environments, hash, created_at, created_by, expires_at, last_used_at, revoked_at`

func scanToken(row pgx.CollectableRow) (t Token, err error) {
	err = row.Scan(&t.ID, &t.Name, &t.Role, &t.Environments, &t.Hash, &t.CreatedAt, &t.CreatedBy, &t.ExpiresAt, &t.LastUsedAt, &t.RevokedAt)
	return t, err
}

// tokenAnswer is what is kept under the key of a command about a token.
type tokenAnswer struct {
	Token   string `json:"token"`
	Changed bool   `json:"changed"`
}

// CreateToken records a new token. Key may be nil; with one that was used before for the same request, the token of
// that time is returned, and replayed is true.
func (s *Store) CreateToken(ctx context.Context, n NewToken, key *controller.IdempotencyKey) (t Token, replayed bool, err error) {
	var end chain
	record, err := s.take(ctx, turn{key: key, definite: true,
		load: func(b *batch) { lockChain(b, &end) },
		decide: func(now time.Time, w *writes) error {
			t = Token{ID: n.ID, Name: n.Name, Role: n.Role, Environments: n.Environments, Hash: n.Hash, CreatedAt: now, CreatedBy: n.Actor.String()}
			data := map[string]any{"token": n.ID, "name": n.Name, "role": n.Role, "environments": n.Environments}
			if n.Lifetime > 0 {
				at := now.Add(n.Lifetime).Truncate(time.Microsecond)
				t.ExpiresAt, data["expires_at"] = &at, at.Format(time.RFC3339Nano)
			}
			w.exec(`INSERT INTO token (id, name, role, environments, hash, created_at, created_by, expires_at)
				VALUES ($1, $2, $3, $4::text[], $5, $6, $7, $8)`, t.ID, t.Name, t.Role, t.Environments, t.Hash, t.CreatedAt, t.CreatedBy, t.ExpiresAt)
			w.chain, w.answer = end, tokenAnswer{Token: t.ID, Changed: true}
			w.events = []rollout.Event{{Kind: rollout.EventTokenCreated, Actor: n.Actor.String(), At: now, Data: data}}
			return nil
		},
	})
	if err != nil || record == nil {
		return t, false, err
	}
	var answer tokenAnswer
	if err := record.read(&answer); err != nil {
		return Token{}, false, err
	}
	t, err = s.Token(ctx, answer.Token)
	return t, key != nil, err
}

// DeleteToken revokes a token: from now on Token shows it as revoked. One that is unknown or revoked already is
// refused with not_found, the last admin of all environments with conflict. Key may be nil.
func (s *Store) DeleteToken(ctx context.Context, id string, actor rollout.Actor, key *controller.IdempotencyKey) (replayed bool, err error) {
	var end chain
	var name string
	var found, last bool
	record, err := s.take(ctx, turn{key: key, definite: true,
		load: func(b *batch) {
			found = false
			lockChain(b, &end)
			b.each(`SELECT name FROM token WHERE id = $1 AND revoked_at IS NULL FOR UPDATE`, func(row pgx.CollectableRow) error {
				found = true
				return row.Scan(&name)
			}, id)
			b.row(`SELECT count(*) = 1 AND coalesce(bool_or(id = $1), false) FROM token
				WHERE role = 'admin' AND '*' = ANY (environments) AND revoked_at IS NULL
					AND (expires_at IS NULL OR expires_at > clock_timestamp())`, func(row pgx.Row) error { return row.Scan(&last) }, id)
		},
		decide: func(now time.Time, w *writes) error {
			switch {
			case !found:
				return noToken(id)
			case last:
				return rollout.Refuse(rollout.Conflict, "it is the last token that may administer every environment, and nobody could make another",
					"create another admin token for all environments first")
			}
			w.exec(`UPDATE token SET revoked_at = $2 WHERE id = $1`, id, now)
			w.chain, w.answer = end, tokenAnswer{Token: id, Changed: true}
			w.events = []rollout.Event{{Kind: rollout.EventTokenDeleted, Actor: actor.String(), At: now,
				Data: map[string]any{"token": id, "name": name}}}
			return nil
		},
	})
	return record != nil && key != nil, err
}

// Tokens lists the tokens that are not revoked, newest first.
func (s *Store) Tokens(ctx context.Context, p Paging) (Page[Token], error) {
	at, id, err := p.afterToken()
	if err != nil {
		return Page[Token]{}, err
	}
	var out []Token
	err = s.view(ctx, func(b *batch) {
		out = nil
		b.each(`SELECT `+tokenColumns+` FROM token WHERE revoked_at IS NULL AND ($1::timestamptz IS NULL OR (created_at, id) < ($1, $2))
			ORDER BY created_at DESC, id DESC LIMIT $3`, func(row pgx.CollectableRow) error {
			t, err := scanToken(row)
			out = append(out, t)
			return err
		}, at, id, limit(p.Limit)+1)
	})
	return cut(out, p, "tokens", func(t Token) string { return strconv.FormatInt(t.CreatedAt.UnixMicro(), 10) + "." + t.ID }), err
}

func (p Paging) afterToken() (at *time.Time, id string, err error) {
	key, err := p.after("tokens", "")
	if err != nil || key == "" {
		return nil, "", err
	}
	micros, id, _ := strings.Cut(key, ".")
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return nil, "", badCursor()
	}
	t := time.UnixMicro(n).UTC()
	return &t, id, nil
}

// Token loads a token, a revoked one too. An unknown one is refused with not_found.
func (s *Store) Token(ctx context.Context, id string) (Token, error) {
	var t Token
	err := s.view(ctx, func(b *batch) {
		b.row(`SELECT `+tokenColumns+` FROM token WHERE id = $1`, func(row pgx.Row) (err error) {
			return row.Scan(&t.ID, &t.Name, &t.Role, &t.Environments, &t.Hash, &t.CreatedAt, &t.CreatedBy, &t.ExpiresAt, &t.LastUsedAt, &t.RevokedAt)
		}, id)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = noToken(id)
	}
	return t, err
}

func noToken(id string) error {
	return rollout.Refuse(rollout.NotFound, fmt.Sprintf("there is no token %s", id), "list them with GET /v1/tokens")
}

// TouchToken records that a token is used, at most once a minute.
func (s *Store) TouchToken(ctx context.Context, id string) error {
	return s.write(ctx, func(b *batch) {
		b.exec(`UPDATE token SET last_used_at = clock_timestamp()
			WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= clock_timestamp() - interval '1 minute')`, id)
	})
}
