package server

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"
)

// page is one method of one path of the pages that people see. Its handler is called for a caller who is signed in and
// may do the action in the environment that the path names; an error that it returns is shown as a page.
type page struct {
	method, path string
	action       Action
	handler      func(http.ResponseWriter, *http.Request) error
	open         bool // nobody has to be signed in; there is no action
	still        bool // open, and the same for everybody: the database is not asked who comes
	stream       bool // answers without end
	long         bool // reads everything, and may take its time
	quiet        bool // asked for by a page itself: does not keep a session from becoming idle
	kept         bool // does so all the same: nobody has a hand on the screen that shows it
}

// pages is every route of the UI.
func (s *server) pages() []page {
	return slices.Concat(s.viewPages(), s.actionPages(), s.accessPages())
}

// operation is how logs and metrics name the page.
func (p *page) operation() string { return "page " + p.method + " " + p.path }

// registerPages puts every page behind its guard. A page without a policy is an error.
func (s *server) registerPages(mux *chi.Mux, pages []page) error {
	for _, p := range pages {
		if _, private := policy[p.action]; private == p.open || p.open != (p.action == "") {
			return fmt.Errorf("page %s %s: the action %q has no policy", p.method, p.path, p.action)
		}
		mux.Method(p.method, p.path, s.guardPage(&p))
	}
	return nil
}
