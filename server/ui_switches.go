package server

import (
	"net/http"

	"viridian/rollout"
	"viridian/store"
	"viridian/web"
)

// switchPage is how many switches a page of their history lists.
const switchPage = 50

func (s *server) showSwitches(w http.ResponseWriter, r *http.Request) error {
	at, now, err := s.theOne(r)
	if err != nil {
		return err
	}
	list, err := s.Store.Switches(r.Context(), at.e.Name, store.Paging{Limit: switchPage, Cursor: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	numbers := map[int]bool{}
	for _, made := range list.Items {
		for _, n := range made.Weights.Numbers() {
			numbers[n] = true
		}
	}
	worn, err := s.Store.Colours(r.Context(), at.e.Name, numbers)
	if err != nil {
		return err
	}
	var shown []web.Switch
	for _, made := range list.Items {
		shown = append(shown, switchView(made, colours(worn).shares))
	}
	view := s.environmentView(callOf(r.Context()).caller, at.e, now.now, nil)
	return writePage(w, r, http.StatusOK, web.SwitchesPage(s.page(r, "Switch history of "+at.e.Name, "environments"), view, shown, list.Next))
}

// colours are those of generations by number.
type colours map[int]rollout.Colour
