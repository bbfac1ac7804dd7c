package server

import (
	"net/http"
	"strconv"
	"strings"

	"viridian/rollout"
	"viridian/web"
)

// showBadge draws the state of an environment as a small picture. It is for pages elsewhere, which carry no session:
// with public badges it is for everybody, else for who is signed in here or sends a token.
func (s *server) showBadge(w http.ResponseWriter, r *http.Request) error {
	name, isPicture := strings.CutSuffix(pathValue(r, "badge"), ".svg")
	if !isPicture {
		return rollout.Refuse(rollout.NotFound, "there is no such picture", "ask for /badge/ENVIRONMENT.svg")
	}
	caller := callOf(r.Context()).caller
	switch {
	case s.PublicBadges:
		caller = Caller{Role: Viewer, Environments: []string{"*"}}
	case caller.Role == "":
		var err error
		if caller, err = s.authenticate(r); err != nil {
			return err
		}
	}
	if err := allow(caller, "environment.show", name); err != nil {
		return err
	}
	now, err := s.board.current(r.Context(), caller, name)
	if err != nil {
		return err
	}
	if len(now.standings) == 0 {
		return rollout.Refuse(rollout.NotFound, "there is no environment "+name, "look at the list of environments")
	}
	e := now.standings[0].e
	view := web.BadgeView{Name: e.Name, Live: e.Live, Standing: standingOf(e, concernsOf(e, now.now))}
	if live, ok := e.Generation(e.Live); ok {
		view.Colour = live.Colour
	}
	picture := render(web.Badge(view))
	h := w.Header()
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Content-Length", strconv.Itoa(len(picture)))
	h.Set("Cache-Control", "private, no-cache")
	if s.PublicBadges {
		h.Set("Cache-Control", "public, max-age=10")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	_, _ = w.Write(picture) // the reader may have gone
	return nil
}
