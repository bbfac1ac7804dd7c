package server

import (
	"context"
	"net/http"

	"viridian/rollout"
	"viridian/web"
)

// theOne is the environment that a page is about.
func (s *server) theOne(r *http.Request) (standing, seen, error) {
	now, err := s.board.current(r.Context(), callOf(r.Context()).caller, pathValue(r, "environment"))
	if err != nil {
		return standing{}, now, err
	}
	if len(now.standings) == 0 {
		return standing{}, now, rollout.Refuse(rollout.NotFound, "there is no environment "+pathValue(r, "environment"), "look at the list of environments")
	}
	return now.standings[0], now, nil
}

func (s *server) showEnvironmentPage(w http.ResponseWriter, r *http.Request) error {
	caller := callOf(r.Context()).caller
	at, now, err := s.theOne(r)
	if err != nil {
		return err
	}
	past, err := s.board.history(r.Context(), at.e)
	if err != nil {
		return err
	}
	s.board.measure(r.Context(), at.e)
	var view web.Environment
	mark := s.board.drawing.together(func() {
		view = s.board.sidesLocked(caller, at, now).view
		s.board.lineLocked(caller, at, now, view, past)
	})
	p := s.livePage(r, at.e.Name, "environments", streamPath("/environments/"+at.e.Name+"/live", "", s.board.mark(mark, present)), now)
	return writePage(w, r, http.StatusOK, web.EnvironmentPage(p, view, historyView(view, past)))
}

// The shapes of a page about one environment.
const (
	present = "here"
	absent  = "gone"
)

func shapeOfOne(now seen) string {
	if len(now.standings) == 0 {
		return absent
	}
	return present
}

// goneParts is what a page about an environment shows that is no more.
func (b *board) goneParts() []part {
	return []part{b.drawing.own("head", render(web.Gone()))}
}

func (s *server) followEnvironment(w http.ResponseWriter, r *http.Request) error {
	caller := callOf(r.Context()).caller
	return s.live(w, r, livePage{environment: pathValue(r, "environment"), shape: shapeOfOne,
		parts: func(ctx context.Context, now seen, _ bool) ([]part, func() []part) {
			if len(now.standings) == 0 {
				return s.board.goneParts(), nil
			}
			at := now.standings[0]
			s.board.measureBeside(at.e)
			shown := s.board.sidesLocked(caller, at, now)
			return shown.parts, func() (parts []part) {
				past, err := s.board.history(ctx, at.e)
				if err == nil { // else the page keeps what it has, and its age
					s.board.drawing.together(func() { parts = s.board.lineLocked(caller, at, now, shown.view, past).parts })
				}
				return parts
			}
		}})
}
