package server

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"viridian/rollout"
)

// errSignedOut is that a page wants somebody to be signed in, and nobody is.
var errSignedOut = errors.New("nobody is signed in")

// guardPage lets a request through to its page when it comes from our own pages, and when its session may do this.
func (s *server) guardPage(p *page) http.Handler {
	rt := &route{operation: p.operation(), action: p.action, quiet: p.quiet || p.still}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		c.route = rt
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("Referrer-Policy", "same-origin") // with none at all, browsers would not say where a form comes from
		err := s.admitPage(c, p, w, r)
		if errors.Is(err, errSignedOut) {
			s.askToSignIn(w, r)
			return
		}
		if err == nil {
			ctx, cancel := s.pageContext(p, w, r)
			defer cancel()
			err = p.handler(w, r.WithContext(ctx))
		}
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
			c.failure = err // whoever asked has gone
		default:
			s.showError(w, r, err)
		}
	})
}

func (s *server) admitPage(c *call, p *page, w http.ResponseWriter, r *http.Request) error {
	// Browsers say where a request comes from; this refuses what comes from elsewhere, signed in or not.
	if err := s.crossOrigin.Check(r); err != nil {
		return errors.Join(err, rollout.Refuse(rollout.Forbidden, "this form was sent from another site", "open the page here, and do it there"))
	}
	if err := readable(w, r); err != nil {
		return err
	}
	if p.still {
		return nil
	}
	if err := s.reachable(); err != nil {
		return err
	}
	if err := s.openSession(c, p, r); err != nil {
		return err
	}
	if p.open {
		return nil
	}
	if c.session == nil {
		return errSignedOut
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !c.session.owns(r) {
		return foreignForm()
	}
	return allow(c.caller, p.action, pathValue(r, "environment"))
}

// readable reads a form, and refuses text that is none.
func readable(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("the address of this page cannot be read")
	}
	if r.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
			return rollout.Refuse(rollout.UnsupportedMediaType, "this is not a form of these pages", "send the form of the page")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	var cut *http.MaxBytesError
	switch err := r.ParseForm(); {
	case errors.As(err, &cut):
		return tooLarge()
	case err != nil:
		return malformed("the form did not arrive as a whole", "send it again")
	}
	for _, values := range []url.Values{query, r.PostForm} {
		for name, list := range values {
			for _, text := range append(list, name) {
				if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
					return malformed("the form holds something that is not text")
				}
			}
		}
	}
	return nil
}

// pageContext bounds the time of a page.
func (s *server) pageContext(p *page, w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	if p.stream {
		return context.WithCancel(r.Context())
	}
	if p.long {
		s.extend(w, longTime)
		return context.WithTimeout(r.Context(), longTime)
	}
	return context.WithTimeout(r.Context(), readTime)
}

// pathValue is a parameter of the path, decoded; empty where there is none.
func pathValue(r *http.Request, name string) string {
	value := chi.URLParam(r, name)
	if r.URL.RawPath != "" {
		if unescaped, err := url.PathUnescape(value); err == nil {
			return unescaped
		}
	}
	return value
}

// byScript says whether the request was made by a script of ours, for a part of a page.
func byScript(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }
