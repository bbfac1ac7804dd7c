package store

import (
	"context"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
)

// Session is one browser that is signed in with a token.
type Session struct {
	ID           string // names it; says nothing of its secret
	TokenID      string
	TokenName    string
	Role         string   // of the token
	Environments []string // of the token
	Address      string   // where it signed in from
	UserAgent    string
	CreatedAt    time.Time
	SeenAt       time.Time
	ExpiresAt    time.Time
}

// NewSession asks for a session. ID is unique. Secret is what the browser keeps, and only its hash is kept here.
type NewSession struct {
	ID        string
	Secret    string
	TokenID   string
	Actor     rollout.Actor
	Address   string
	UserAgent string
	Lifetime  time.Duration
}

func secretHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// StartSession records a new session. A token that may not be used now is refused with unauthenticated.
func (s *Store) StartSession(ctx context.Context, n NewSession) error {
	var end chain
	var valid bool
	_, err := s.take(ctx, turn{definite: true,
		load: func(b *batch) {
			valid = false
			lockChain(b, &end)
			b.each(`SELECT true FROM token WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
				FOR SHARE`, func(row pgx.CollectableRow) error { return row.Scan(&valid) }, n.TokenID)
		},
		decide: func(now time.Time, w *writes) error {
			if !valid {
				return rollout.Refuse(rollout.Unauthenticated, "the token is not known, has expired or was deleted", "use a token that is valid")
			}
			w.exec(`INSERT INTO session (id, hash, token, address, user_agent, created_at, seen_at, expires_at)
				VALUES ($1, $2, $3, $4, $5, $6, $6, $7)`, n.ID, secretHash(n.Secret), n.TokenID, n.Address, n.UserAgent, now, now.Add(n.Lifetime))
			w.chain, w.answer = end, tokenAnswer{Token: n.TokenID, Changed: true}
			w.events = []rollout.Event{{Kind: rollout.EventSessionStarted, Actor: n.Actor.String(), At: now,
				Data: map[string]any{"session": n.ID, "token": n.TokenID, "address": n.Address, "user_agent": n.UserAgent}}}
			return nil
		},
	})
	return err
}

// EndSession ends a session at once, on every replica. An unknown one is refused with not_found.
func (s *Store) EndSession(ctx context.Context, id string, actor rollout.Actor) error {
	var end chain
	var token string
	_, err := s.take(ctx, turn{definite: true,
		load: func(b *batch) {
			token = ""
			lockChain(b, &end)
			b.each(`SELECT token FROM session WHERE id = $1 FOR UPDATE`, func(row pgx.CollectableRow) error { return row.Scan(&token) }, id)
		},
		decide: func(now time.Time, w *writes) error {
			if token == "" {
				return noSession()
			}
			w.exec(`DELETE FROM session WHERE id = $1`, id)
			w.chain, w.answer = end, tokenAnswer{Token: token, Changed: true}
			w.events = []rollout.Event{{Kind: rollout.EventSessionEnded, Actor: actor.String(), At: now,
				Data: map[string]any{"session": id, "token": token}}}
			return nil
		},
	})
	return err
}

func noSession() error {
	return rollout.Refuse(rollout.NotFound, "there is no such session; it may have ended already", "look at the list of sessions")
}

// sessionFrom joins what is known of a session; a session whose token may not be used any more is none.
const sessionFrom = ` FROM session s JOIN token t ON t.id = s.token
	WHERE t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp()) AND s.expires_at > clock_timestamp() `

const sessionColumns = `s.id, s.token, t.name, t.role, t.environments, s.address, s.user_agent, s.created_at, s.seen_at, s.expires_at`

func scanSession(row pgx.Row, out *Session) error {
	return row.Scan(&out.ID, &out.TokenID, &out.TokenName, &out.Role, &out.Environments, &out.Address, &out.UserAgent,
		&out.CreatedAt, &out.SeenAt, &out.ExpiresAt)
}

// Session loads a session that has not ended, whether or not it has been idle for too long. An unknown one is refused
// with not_found.
func (s *Store) Session(ctx context.Context, id string) (Session, error) {
	var out Session
	found := false
	err := s.view(ctx, func(b *batch) {
		b.each(`SELECT `+sessionColumns+sessionFrom+`AND s.id = $1`, func(row pgx.CollectableRow) error {
			found = true
			return scanSession(row, &out)
		}, id)
	})
	if err == nil && !found {
		err = noSession()
	}
	return out, err
}

// Sessions lists the sessions that have not ended and were seen within idle, newest first. With a token's id it lists
// those of that token alone.
func (s *Store) Sessions(ctx context.Context, token string, idle time.Duration, p Paging) (Page[Session], error) {
	at, id, err := p.afterSession()
	if err != nil {
		return Page[Session]{}, err
	}
	var out []Session
	err = s.view(ctx, func(b *batch) {
		out = nil
		b.each(`SELECT `+sessionColumns+sessionFrom+`AND s.seen_at > clock_timestamp() - $1::interval AND ($2 = '' OR s.token = $2)
			AND ($3::timestamptz IS NULL OR (s.created_at, s.id) < ($3, $4)) ORDER BY s.created_at DESC, s.id DESC LIMIT $5`,
			func(row pgx.CollectableRow) error {
				var one Session
				err := scanSession(row, &one)
				out = append(out, one)
				return err
			}, idle, token, at, id, limit(p.Limit)+1)
	})
	return cut(out, p, "sessions", func(o Session) string { return strconv.FormatInt(o.CreatedAt.UnixMicro(), 10) + "." + o.ID }), err
}

func (p Paging) afterSession() (at *time.Time, id string, err error) {
	key, err := p.after("sessions", "")
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
