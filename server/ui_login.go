package server

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/httprate"

	"viridian/rollout"
	"viridian/store"
	"viridian/web"
)

const (
	// loginFailures is how often an address may fail to sign in within loginWindow.
	loginFailures = 20
	loginWindow   = time.Minute
	// maxDraft bounds what is kept of a form whose session had ended.
	maxDraft = 256 << 10
)

func newLoginLimit() *httprate.RateLimiter {
	return httprate.NewRateLimiter(loginFailures, loginWindow, httprate.WithResponseHeaders(httprate.ResponseHeaders{RetryAfter: "Retry-After"}))
}

// showLogin shows the way in. With a link that signs in once, it shows whom it is for: only pressing the button spends
// it, so that what looks at links by itself does not.
func (s *server) showLogin(w http.ResponseWriter, r *http.Request) error {
	view := s.loginView(r)
	if once := r.URL.Query().Get("once"); once != "" {
		id, err := s.Store.LoginLink(r.Context(), once)
		if isRefusal(err, rollout.NotFound) {
			if callOf(r.Context()).session != nil { // most likely by this link, a moment ago
				http.Redirect(w, r, view.Next, http.StatusSeeOther)
				return nil
			}
			view.Problem = problemView(err, callOf(r.Context()).id)
			return s.writeLogin(w, r, http.StatusNotFound, view)
		}
		if err != nil {
			return err
		}
		t, err := s.token(r.Context(), id)
		if err != nil {
			return err
		}
		view.Once, view.Name, view.Role = once, t.Name, t.Role
	}
	return s.writeLogin(w, r, http.StatusOK, view)
}

func (s *server) loginView(r *http.Request) web.LoginView {
	next := r.Form.Get("next")
	draft := strings.ReplaceAll(r.PostForm.Get("draft"), "\r\n", "\n") // browsers send line ends of a form so
	return web.LoginView{Next: safeNext(next), Draft: draft}
}

func (s *server) writeLogin(w http.ResponseWriter, r *http.Request, status int, view web.LoginView) error {
	return writePage(w, r, status, web.Login(s.page(r, "Sign in", ""), view))
}

// login signs in with a token or with a link.
func (s *server) login(w http.ResponseWriter, r *http.Request) error {
	view := s.loginView(r)
	if len(view.Draft) > maxDraft {
		return tooLarge()
	}
	address := s.address(r)
	switch {
	case plainHTTP(r):
		return s.refuseLogin(w, r, view, rollout.Refuse(rollout.Forbidden, "this page was loaded by plain http over a network, where browsers keep no session",
			"open it by https, or on the machine itself by http://localhost"))
	case !s.mayTry(address):
		w.Header().Set("Retry-After", "60")
		return s.refuseLogin(w, r, view, rollout.Refuse(rollout.RateLimited, "too many attempts to sign in came from your address", "wait a minute"))
	}
	t, err := s.loginToken(r)
	if isRefusal(err, rollout.Unauthenticated) || isRefusal(err, rollout.NotFound) {
		s.logins.OnLimit(w, r, address)
		return s.refuseLogin(w, r, view, err)
	}
	if err != nil {
		return err
	}
	if err := s.signIn(w, r, t, view.Draft); err != nil {
		return err
	}
	next := view.Next
	if path, _, found := strings.Cut(view.Draft, "\n"); found {
		next = safeNext(path)
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// mayTry says whether an address has not failed too often.
func (s *server) mayTry(address string) bool {
	_, rate, err := s.logins.Status(address)
	return err != nil || rate < loginFailures
}

func (s *server) refuseLogin(w http.ResponseWriter, r *http.Request, view web.LoginView, err error) error {
	callOf(r.Context()).failure = err
	view.Problem = problemView(err, callOf(r.Context()).id)
	return s.writeLogin(w, r, view.Problem.Status, view)
}

// loginToken finds the token that the form signs in with.
func (s *server) loginToken(r *http.Request) (store.Token, error) {
	if once := r.PostForm.Get("once"); once != "" {
		id, err := s.Store.UseLoginLink(r.Context(), once)
		if err != nil {
			return store.Token{}, err
		}
		return s.token(r.Context(), id)
	}
	id, hash, ok := rollout.ParseToken(strings.TrimSpace(r.PostForm.Get("token")))
	if !ok {
		return store.Token{}, rollout.Refuse(rollout.Unauthenticated, "this is not a token, or not the whole of it", "paste all of it: vir_…")
	}
	t, err := s.token(r.Context(), id)
	if err != nil {
		return store.Token{}, err
	}
	if subtle.ConstantTimeCompare(t.Hash, hash) != 1 {
		return store.Token{}, unauthenticated()
	}
	return t, nil
}

// logout ends the session.
func (s *server) logout(w http.ResponseWriter, r *http.Request) error {
	if c := callOf(r.Context()); c.session != nil && !c.session.owns(r) {
		return foreignForm()
	}
	if err := s.signOut(w, r); err != nil {
		return err
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// askToSignIn shows the way in, to somebody whose session has ended or never was. What was typed into a form is kept:
// it is there again after signing in.
func (s *server) askToSignIn(w http.ResponseWriter, r *http.Request) {
	c := callOf(r.Context())
	c.failure = errSignedOut
	view := web.LoginView{Next: safeNext(r.URL.RequestURI()), Ended: true}
	switch {
	case r.Method == http.MethodPost:
		view.Next = safeNext(r.URL.Path)
		view.Draft = draftOf(r)
	case !byScript(r) && !acceptsStream(r):
		target := "/login"
		if view.Next != "/" {
			target += "?next=" + url.QueryEscape(view.Next)
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
		return
	}
	if err := s.writeSignedOut(w, r, view); err != nil {
		s.showError(w, r, err)
	}
}

func (s *server) writeSignedOut(w http.ResponseWriter, r *http.Request, view web.LoginView) error {
	if byScript(r) || acceptsStream(r) {
		return writePage(w, r, http.StatusUnauthorized, web.LoginDialog(view))
	}
	return s.writeLogin(w, r, http.StatusUnauthorized, view)
}

func acceptsStream(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// plainHTTP says whether the browser came by plain http over a network: there it would not keep the cookie, and come
// back here again and again.
func plainHTTP(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Scheme != "http" {
		return false
	}
	return !loopbackHost(origin.Hostname())
}

// safeNext is where to go on after signing in: a path of ours, or the first page.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") || u.Path == "/login" || u.Path == "/logout" {
		return "/"
	}
	return next
}
