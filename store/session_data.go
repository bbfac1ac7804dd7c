package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// SessionData is where a session manager (github.com/alexedwards/scs) keeps what belongs to a session. It answers only
// for sessions that [Store.StartSession] began and that have not ended, by the database's clock; a token there is the
// secret of the session.
type SessionData struct {
	store *Store
	idle  time.Duration
}

// SessionData makes the place for the data of sessions, which end when they were not seen for the time of idle.
func (s *Store) SessionData(idle time.Duration) *SessionData {
	return &SessionData{store: s, idle: idle}
}

// FindCtx returns the data of a session. It does not count as its use: see [SessionData.Touch].
func (d *SessionData) FindCtx(ctx context.Context, secret string) (data []byte, found bool, err error) {
	err = d.store.view(ctx, func(b *batch) {
		data, found = nil, false
		b.each(`SELECT s.data`+sessionFrom+`AND s.hash = $1 AND s.seen_at > clock_timestamp() - $2::interval`,
			func(row pgx.CollectableRow) error {
				found = true
				return row.Scan(&data)
			}, secretHash(secret), d.idle)
	})
	return data, found, err
}

// Touch records that a session is used, at most once a minute. One that was idle for too long stays ended.
func (d *SessionData) Touch(ctx context.Context, secret string) error {
	return d.store.write(ctx, func(b *batch) {
		b.exec(`UPDATE session SET seen_at = clock_timestamp() WHERE hash = $1 AND seen_at > clock_timestamp() - $2::interval
			AND seen_at <= clock_timestamp() - interval '1 minute'`, secretHash(secret), d.idle)
	})
}

// CommitCtx keeps data for a session. One that has ended stays so: nothing is kept, and that is no error. The expiry is
// not looked at: when a session ends was said when it began.
func (d *SessionData) CommitCtx(ctx context.Context, secret string, data []byte, _ time.Time) error {
	return d.store.write(ctx, func(b *batch) {
		b.exec(`UPDATE session SET data = $2 WHERE hash = $1`, secretHash(secret), data)
	})
}

// DeleteCtx ends the session without an event; see [Store.EndSession].
func (d *SessionData) DeleteCtx(ctx context.Context, secret string) error {
	return d.store.write(ctx, func(b *batch) {
		b.exec(`DELETE FROM session WHERE hash = $1`, secretHash(secret))
	})
}

// Find is [SessionData.FindCtx] without a context.
func (d *SessionData) Find(secret string) ([]byte, bool, error) {
	return d.FindCtx(context.Background(), secret)
}

// Commit is [SessionData.CommitCtx] without a context.
func (d *SessionData) Commit(secret string, data []byte, expiry time.Time) error {
	return d.CommitCtx(context.Background(), secret, data, expiry)
}

// Delete is [SessionData.DeleteCtx] without a context.
func (d *SessionData) Delete(secret string) error { return d.DeleteCtx(context.Background(), secret) }
