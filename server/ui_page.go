package server

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"viridian/web"
)

// themeCookie keeps what a reader chose; it holds no secret.
const themeCookie = "viridian_theme"

// reloads is how often a page may load itself anew without a script, in seconds.
var reloads = map[string]int{"5": 5, "15": 15, "60": 60}

// page is the frame of a page for whoever asks.
func (s *server) page(r *http.Request, title, nav string) web.Page {
	c := callOf(r.Context())
	p := web.Page{Title: title, Nav: nav, Version: s.Version, Path: r.URL.RequestURI(), Theme: themeOf(r), Flash: saidFlash(r),
		Viewer: web.Viewer{Name: c.caller.Name, Role: string(c.caller.Role), CSRF: csrfToken(r.Context()), Tokens: Can(c.caller, "token.list", "")}}
	if r.Method != http.MethodGet { // what a form was answered with has no address of its own
		p.Path = "/"
	}
	return p
}

// livePage is the frame of a page that follows what happens: from the mark on, by the stream.
func (s *server) livePage(r *http.Request, title, nav, stream string, now seen) web.Page {
	p := s.page(r, title, nav)
	p.At, p.Live = now.at, web.Live{Stream: stream}
	p.Refresh = reloads[r.URL.Query().Get("refresh")]
	return p
}

// writePage answers with a page, or a part of one.
func writePage(w http.ResponseWriter, r *http.Request, status int, component templ.Component) error {
	var out bytes.Buffer
	if err := component.Render(r.Context(), &out); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // the reader may have gone
	return nil
}

func themeOf(r *http.Request) web.Theme {
	cookie, err := r.Cookie(themeCookie)
	if err != nil {
		return web.ThemeAuto
	}
	return web.Theme(cookie.Value) // an unknown one is drawn as auto
}

// setTheme keeps the theme that the reader chose, and leads back to where they were.
func (s *server) setTheme(w http.ResponseWriter, r *http.Request) error {
	theme := r.PostForm.Get("theme")
	for _, known := range web.Themes() {
		if string(known) == theme {
			http.SetCookie(w, &http.Cookie{ //nolint:gosec // a theme is no secret, and plain http has no Secure cookies
				Name: themeCookie, Value: theme, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true,
				Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode})
		}
	}
	http.Redirect(w, r, safeNext(r.PostForm.Get("next")), http.StatusSeeOther) //nolint:gosec // safeNext leads nowhere else
	return nil
}

// asset serves the style, the script and the pictures of the pages.
func (s *server) asset(w http.ResponseWriter, r *http.Request) error {
	web.Assets(w, r)
	return nil
}

// streamPath is the address of a page's stream, for a page that has everything up to the mark.
func streamPath(path, query, mark string) string {
	var b strings.Builder
	b.WriteString(path)
	b.WriteByte('?')
	if query != "" {
		b.WriteString(query)
		b.WriteByte('&')
	}
	b.WriteString("since=")
	b.WriteString(mark)
	return b.String()
}
