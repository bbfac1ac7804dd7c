package server

import (
	"bytes"
	"net/http"

	"github.com/a-h/templ"

	"viridian/web"
)

func (s *server) page(r *http.Request, title, nav string) web.Page {
	c := callOf(r.Context())
	return web.Page{Title: title, Nav: nav, Version: s.Version, Path: r.URL.RequestURI(),
		Viewer: web.Viewer{Name: c.caller.Name, Role: string(c.caller.Role), CSRF: csrfToken(r.Context())}}
}

func writePage(w http.ResponseWriter, r *http.Request, status int, component templ.Component) error {
	var out bytes.Buffer
	if err := component.Render(r.Context(), &out); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
	return nil
}
