package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"viridian/rollout"
	"viridian/store"
)

const (
	// tokenTrust is how long a token that was looked up is believed: a deleted one is refused everywhere within it.
	tokenTrust = 2 * time.Second
	// touchEvery is how often the last use of a token is recorded at most.
	touchEvery = time.Minute
	// maxTokens bounds what is kept in memory.
	maxTokens = 10_000
)

// tokens is what this process knows of tokens, so that not every request asks the database.
type tokens struct {
	mu      sync.Mutex
	known   map[string]knownToken
	touched map[string]time.Time
}

type knownToken struct {
	token store.Token
	at    time.Time
}

// authenticate finds out who sent the request. Everything that is wrong with a token gets the same answer.
func (s *server) authenticate(r *http.Request) (Caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return Caller{}, rollout.Refuse(rollout.Unauthenticated, "the request carries no token", "send the header Authorization: Bearer vir_…")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	id, hash, ok := rollout.ParseToken(strings.TrimSpace(token))
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || !ok {
		return Caller{}, unauthenticated()
	}
	t, err := s.token(r.Context(), id)
	if err != nil {
		return Caller{}, err
	}
	if subtle.ConstantTimeCompare(t.Hash, hash) != 1 {
		return Caller{}, unauthenticated()
	}
	s.touch(id)
	return callerOf(t), nil
}

// token returns a token that may be used now.
func (s *server) token(ctx context.Context, id string) (store.Token, error) {
	t, err := s.lookUp(ctx, id)
	if err != nil {
		return store.Token{}, err
	}
	if t.RevokedAt != nil || (t.ExpiresAt != nil && !s.Clock.Now().Before(*t.ExpiresAt)) {
		return store.Token{}, unauthenticated()
	}
	return t, nil
}

func (s *server) lookUp(ctx context.Context, id string) (store.Token, error) {
	now := s.Clock.Now()
	s.tokens.mu.Lock()
	known, ok := s.tokens.known[id]
	s.tokens.mu.Unlock()
	if ok && now.Sub(known.at) < tokenTrust {
		return known.token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Service.CallTimeout)
	defer cancel()
	t, err := s.Store.Token(ctx, id)
	var refusal *rollout.Refusal
	if errors.As(err, &refusal) && refusal.Code == rollout.NotFound {
		return store.Token{}, unauthenticated()
	}
	if err != nil {
		return store.Token{}, err
	}
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	if len(s.tokens.known) >= maxTokens {
		clear(s.tokens.known)
	}
	s.tokens.known[id] = knownToken{token: t, at: now}
	return t, nil
}

// forget makes this process ask the database about the token again.
func (s *server) forget(id string) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	delete(s.tokens.known, id)
}

// touch records that the token was used, beside the request and once a minute.
func (s *server) touch(id string) {
	s.note("token "+id, func(ctx context.Context) error { return s.Store.TouchToken(ctx, id) })
}

// note records that something was used, beside the request, once a minute for each key.
func (s *server) note(key string, record func(ctx context.Context) error) {
	now := s.Clock.Now()
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	if now.Sub(s.tokens.touched[key]) < touchEvery || s.running.Err() != nil {
		return
	}
	if len(s.tokens.touched) >= maxTokens {
		clear(s.tokens.touched)
	}
	s.tokens.touched[key] = now
	s.background.Go(func() {
		// Nobody waits for this: it takes no connection from a command.
		ctx, cancel := context.WithTimeout(store.For(s.running, store.Reads), saveTime)
		defer cancel()
		if err := record(ctx); err != nil && s.running.Err() == nil {
			s.Log.Warn("last use not recorded", "of", key, "error", err)
		}
	})
}

func unauthenticated() error {
	return rollout.Refuse(rollout.Unauthenticated, "the token is not known, has expired or was deleted", "use a token that is valid; an admin makes one with POST /v1/tokens")
}

func callerOf(t store.Token) Caller {
	return Caller{TokenID: t.ID, Name: t.Name, Role: Role(t.Role), Environments: t.Environments, ExpiresAt: t.ExpiresAt}
}
