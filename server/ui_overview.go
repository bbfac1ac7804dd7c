package server

import (
	"context"
	"hash/maphash"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"viridian/web"
)

// filterOf reads the filter of the overview from the address. An unknown state filters nothing.
func filterOf(r *http.Request) web.Filter {
	query := r.URL.Query()
	f := web.Filter{Text: strings.TrimSpace(query.Get("q"))}
	for _, s := range web.FilterStates() {
		if string(s.State) == query.Get("state") {
			f.State = s.State
		}
	}
	return f
}

// leadToOverview answers where the list of environments would be by the addresses of each: that list is the overview.
func (s *server) leadToOverview(w http.ResponseWriter, r *http.Request) error {
	at := url.URL{Path: "/", RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, at.String(), http.StatusSeeOther)
	return nil
}

// overviewOf is the overview for a caller: as a page, and as what lives on it.
type overviewOf struct {
	*board
	caller Caller
	filter web.Filter
	draw   func(caller Caller, at standing, now seen) scene // under the lock of the drawing
}

// shownLocked are the environments within the filter as they are now, with their scenes.
func (o overviewOf) shownLocked(now seen) (web.Overview, []scene) {
	out := web.Overview{Total: len(now.standings), Filter: o.filter}
	var scenes []scene
	for _, at := range now.standings {
		s := o.draw(o.caller, at, now)
		if matches(s.view, o.filter) {
			out.Environments = append(out.Environments, s.view)
			scenes = append(scenes, s)
		}
	}
	return out, scenes
}

// shown is the same for a page that is loaded, with the mark of what it has.
func (o overviewOf) shown(now seen) (v web.Overview, scenes []scene, mark int64) {
	mark = o.drawing.together(func() { v, scenes = o.shownLocked(now) })
	return v, scenes, mark
}

// nth are the parts at that place of every scene.
func nth(scenes []scene, i int) []part {
	out := make([]part, len(scenes))
	for k, s := range scenes {
		out[k] = s.parts[i]
	}
	return out
}

// shapeOf names the list of environments that are shown.
func (o overviewOf) shapeOf(v web.Overview) string {
	var h maphash.Hash
	h.SetSeed(o.drawing.seed)
	for _, e := range v.Environments {
		_, _ = h.WriteString(e.Name) // a hash takes everything
		_ = h.WriteByte(0)
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

func (s *server) overviewOf(r *http.Request) overviewOf {
	return overviewOf{board: s.board, caller: callOf(r.Context()).caller, filter: filterOf(r), draw: s.board.cardLocked}
}

func (s *server) showOverview(w http.ResponseWriter, r *http.Request) error {
	o := s.overviewOf(r)
	now, err := o.current(r.Context(), o.caller, "")
	if err != nil {
		return err
	}
	v, scenes, mark := o.shown(now)
	v.Create = web.Action{Label: "New environment", Href: "/new-environment", Page: true, Enabled: Can(o.caller, "environment.create", "")}
	if !v.Create.Enabled {
		v.Create.Why = roleWhy(o.caller, "environment.create")
	}
	if v.Total == 0 && v.Create.Enabled {
		http.Redirect(w, r, "/start", http.StatusSeeOther)
		return nil
	}
	p := s.livePage(r, "Environments", "environments", streamPath("/live", o.filter.Query().Encode(), o.mark(mark, o.shapeOf(v))), now)
	return writePage(w, r, http.StatusOK, web.OverviewPage(p, v, raw(joined(nth(scenes, 1))), raw(joined(nth(scenes, 0)))))
}

func (s *server) followOverview(w http.ResponseWriter, r *http.Request) error {
	o := s.overviewOf(r)
	return s.live(w, r, livePage{
		shape: func(now seen) string { v, _ := o.shownLocked(now); return o.shapeOf(v) },
		parts: func(_ context.Context, now seen, whole bool) ([]part, func() []part) {
			v, scenes := o.shownLocked(now)
			cards := nth(scenes, 0)
			out := []part{o.drawing.own("attention", render(web.AttentionList(v, raw(joined(nth(scenes, 1)))))), o.drawing.own("count", render(web.Count(v)))}
			if whole {
				out = append(out, o.drawing.own("cards", render(web.Cards(v, raw(joined(cards))))))
				cards = included(cards)
			}
			return append(out, cards...), nil
		},
	})
}

// included marks parts as held by another one.
func included(parts []part) []part {
	for i := range parts {
		parts[i].included = true
	}
	return parts
}
