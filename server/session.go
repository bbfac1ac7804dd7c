package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"viridian/rollout"
	"viridian/store"
)

// sessionCookie holds the secret of a session. By its prefix, browsers take it over https only (or from their own
// machine), for this host alone, and for all of its paths.
const sessionCookie = "__Host-viridian"

// Defaults of the limits of a session.
const (
	DefaultSessionIdle     = 8 * time.Hour
	DefaultSessionLifetime = 24 * time.Hour
)

// What is kept with a session.
const (
	keptSession = "session" // its id
	keptToken   = "token"   // the id of the token that it was begun with
	keptDraft   = "draft"   // what was typed when the session before it had ended
)

// session is a browser that is signed in.
type session struct {
	id     string
	secret string
	data   context.Context // with what the manager of sessions keeps of it: it has no other way to hand it on
}

// csrf is what forms of the session carry: who does not have its secret cannot make one.
func (s *session) csrf() string {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte("viridian csrf"))
	return hex.EncodeToString(mac.Sum(nil))
}

// owns says whether the form that was sent is one of the session's.
func (s *session) owns(r *http.Request) bool {
	return hmac.Equal([]byte(r.PostForm.Get("csrf_token")), []byte(s.csrf()))
}

// csrfToken is what forms of the request's session carry; empty when there is none.
func csrfToken(ctx context.Context) string {
	if s := callOf(ctx).session; s != nil {
		return s.csrf()
	}
	return ""
}

// newSessions makes the manager of sessions. How long one may be idle is the store's to say, by the database's clock.
func newSessions(data *store.SessionData, lifetime time.Duration) *scs.SessionManager {
	m := scs.New()
	m.Store, m.Lifetime = data, lifetime
	return m
}

// openSession finds out whose browser sent the request. One that has ended, or whose token may not be used any more,
// is none.
func (s *server) openSession(c *call, p *page, r *http.Request) error {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || cookie.Value == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Service.CallTimeout)
	defer cancel()
	data, err := s.sessions.Load(ctx, cookie.Value)
	if err != nil {
		return err
	}
	id, token := s.sessions.GetString(data, keptSession), s.sessions.GetString(data, keptToken)
	if id == "" || token == "" {
		return nil
	}
	t, err := s.token(ctx, token)
	if isRefusal(err, rollout.Unauthenticated) {
		return nil
	}
	if err != nil {
		return err
	}
	c.session = &session{id: id, secret: cookie.Value, data: context.WithoutCancel(data)}
	c.caller = callerOf(t)
	s.touch(token)
	if p.kept || !p.quiet && !p.stream {
		s.note("session "+id, func(ctx context.Context) error { return s.sessionData.Touch(ctx, cookie.Value) })
	}
	return nil
}

// signIn begins a session with a secret that nobody had before, in place of the one that the browser had.
func (s *server) signIn(w http.ResponseWriter, r *http.Request, t store.Token, draft string) error {
	ctx, err := s.sessions.Load(r.Context(), "")
	if err != nil {
		return err
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	secret, id := s.sessions.Token(ctx), strings.ToLower(rand.Text()[:10])
	err = s.Store.StartSession(ctx, store.NewSession{ID: id, Secret: secret, TokenID: t.ID, Actor: callerOf(t).Actor(),
		Address: s.address(r), UserAgent: userAgent(r), Lifetime: s.SessionLifetime})
	if err != nil {
		return err
	}
	s.sessions.Put(ctx, keptSession, id)
	s.sessions.Put(ctx, keptToken, t.ID)
	if draft != "" {
		s.sessions.Put(ctx, keptDraft, draft)
	}
	if _, _, err := s.sessions.Commit(ctx); err != nil {
		return err
	}
	if old, err := r.Cookie(sessionCookie); err == nil && old.Value != "" {
		if err := s.sessionData.DeleteCtx(ctx, old.Value); err != nil {
			return err
		}
	}
	s.touch(t.ID)
	setSessionCookie(w, secret, s.SessionLifetime)
	return nil
}

// signOut ends the request's session, here and on every replica.
func (s *server) signOut(w http.ResponseWriter, r *http.Request) error {
	if c := callOf(r.Context()); c.session != nil {
		if err := s.Store.EndSession(r.Context(), c.session.id, c.caller.Actor()); err != nil && !isRefusal(err, rollout.NotFound) {
			return err
		}
	}
	setSessionCookie(w, "", 0)
	return nil
}

// setSessionCookie gives the browser the secret; an empty one takes it away.
func setSessionCookie(w http.ResponseWriter, secret string, lifetime time.Duration) {
	age := int(lifetime / time.Second)
	if secret == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: secret, Path: "/", Secure: true, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, MaxAge: age})
}

// userAgent is what the browser calls itself, cut to what a list can show.
func userAgent(r *http.Request) string {
	const limit = 300
	text := strings.ToValidUTF8(strings.ReplaceAll(r.UserAgent(), "\x00", ""), "�")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
