package server

import (
	"context"
	"net/http"

	"viridian/web"
)

func (s *server) wallOf(r *http.Request) overviewOf {
	return overviewOf{board: s.board, caller: callOf(r.Context()).caller, filter: filterOf(r), draw: s.board.tileLocked}
}

func (s *server) showWall(w http.ResponseWriter, r *http.Request) error {
	o := s.wallOf(r)
	now, err := o.current(r.Context(), o.caller, "")
	if err != nil {
		return err
	}
	v, scenes, mark := o.shown(now)
	p := s.livePage(r, "Wall", "", streamPath("/wall/live", o.filter.Query().Encode(), o.mark(mark, o.shapeOf(v))), now)
	return writePage(w, r, http.StatusOK, web.WallPage(p, v, raw(joined(nth(scenes, 0)))))
}

func (s *server) followWall(w http.ResponseWriter, r *http.Request) error {
	o := s.wallOf(r)
	return s.live(w, r, livePage{kept: true,
		shape: func(now seen) string { v, _ := o.shownLocked(now); return o.shapeOf(v) },
		parts: func(_ context.Context, now seen, whole bool) ([]part, func() []part) {
			v, scenes := o.shownLocked(now)
			tiles := nth(scenes, 0)
			out := []part{o.drawing.own("wall-count", render(web.WallCount(v)))}
			if whole {
				out = append(out, o.drawing.own("tiles", joined(tiles)))
				tiles = included(tiles)
			}
			return append(out, tiles...), nil
		},
	})
}
