package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/web"
)

// maxFound bounds what the search shows.
const maxFound = 40

// showFind is the search over everything that the caller may see and do.
func (s *server) showFind(w http.ResponseWriter, r *http.Request) error {
	found, err := s.find(r)
	if err != nil {
		return err
	}
	return writePage(w, r, http.StatusOK, web.FindPage(s.page(r, "Find", ""), found))
}

// showFindOptions is the same for the command palette.
func (s *server) showFindOptions(w http.ResponseWriter, r *http.Request) error {
	found, err := s.find(r)
	if err != nil {
		return err
	}
	return writePage(w, r, http.StatusOK, web.FoundOptions(found))
}

// showKeys is the help sheet.
func (s *server) showKeys(w http.ResponseWriter, r *http.Request) error {
	if byScript(r) {
		return writePage(w, r, http.StatusOK, web.KeysDialog())
	}
	return writePage(w, r, http.StatusOK, web.KeysPage(s.page(r, "Keys", "")))
}

func (s *server) find(r *http.Request) (web.Found, error) {
	caller := callOf(r.Context()).caller
	now, err := s.board.current(r.Context(), caller, "")
	if err != nil {
		return web.Found{}, err
	}
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	f := finder{words: strings.Fields(strings.ToLower(query))}
	for _, at := range now.standings {
		f.environment(s, caller, at.e, now.now)
	}
	f.places(caller)
	slices.SortStableFunc(f.hits, func(a, b hit) int { return a.rank - b.rank })
	out := web.Found{Query: query, More: len(f.hits) > maxFound}
	for _, h := range f.hits[:min(len(f.hits), maxFound)] {
		out.Entries = append(out.Entries, h.Entry)
	}
	return out, nil
}

// finder collects what has all the words in it.
type finder struct {
	words []string
	hits  []hit
}

type hit struct {
	web.Entry
	rank int // the lowest first
}

// add takes the entry when all words are in the text. Names that begin with the first word come before others.
func (f *finder) add(e web.Entry, text string, rank int) {
	text = strings.ToLower(text)
	for _, word := range f.words {
		if !strings.Contains(text, word) {
			return
		}
	}
	if len(f.words) > 0 && strings.HasPrefix(text, f.words[0]) {
		rank -= 100
	}
	f.hits = append(f.hits, hit{e, rank})
}

// environment adds an environment, and, for who looks for something, what can be done there and its generations.
func (f *finder) environment(s *server, caller Caller, e rollout.Environment, now time.Time) {
	path := "/environments/" + e.Name
	hint := "nothing live yet"
	if g, ok := e.Generation(e.Live); ok {
		hint = fmt.Sprintf("generation %d live, %s", g.Number, g.Version)
	}
	f.add(web.Entry{Kind: "environment", Label: e.Name, Hint: hint, Href: path}, e.Name+" "+e.Spec.Description, 0)
	if len(f.words) == 0 || !f.touches(e) {
		return
	}
	actions := s.environmentActions(caller, e, now)
	act := func(a web.Action, rank int) {
		if a.Offered() && a.Enabled {
			f.add(web.Entry{Kind: "action", Label: a.Label, Hint: e.Name, Href: a.Href, Dialog: !a.Page}, e.Name+" "+a.Label, rank)
		}
	}
	act(actions.Rollback, 1)
	f.add(web.Entry{Kind: "page", Label: "Switches", Hint: e.Name, Href: path + "/switches"}, e.Name+" switches history", 6)
	f.add(web.Entry{Kind: "page", Label: "Versions of its settings", Hint: e.Name, Href: path + "/versions"}, e.Name+" versions settings", 6)
	for _, a := range []web.Action{actions.Weights, actions.Lock, actions.Unlock, actions.ReleaseAutomation, actions.Edit, actions.Delete} {
		act(a, 4)
	}
	for _, g := range slices.Backward(e.Generations) {
		f.add(web.Entry{Kind: "generation", Label: fmt.Sprintf("%s generation %d", e.Name, g.Number), Hint: fmt.Sprintf("%s, %s", g.Version, g.State),
			Href: generationPage(e.Name, g.Number)}, fmt.Sprintf("%s generation %d %s", e.Name, g.Number, g.Version), 3)
		act(actions.Promote[g.Number], 2)
		for _, list := range []map[int]web.Action{actions.RollbackTo, actions.Validate, actions.Keep, actions.Retire} {
			a := list[g.Number]
			if a.Label == actions.Rollback.Label {
				continue
			}
			if name := fmt.Sprintf("generation %d", g.Number); a.Offered() && !strings.HasSuffix(a.Label, name) {
				a.Label += ": " + name
			}
			act(a, 5)
		}
	}
}

// touches says whether any word could be about the environment or something in it.
func (f *finder) touches(e rollout.Environment) bool {
	name := strings.ToLower(e.Name)
	return slices.ContainsFunc(f.words, func(word string) bool {
		return strings.Contains(name, word) || slices.ContainsFunc(e.Generations, func(g rollout.Generation) bool {
			return strings.Contains(strings.ToLower(g.Version), word)
		})
	})
}

// places adds the pages.
func (f *finder) places(caller Caller) {
	for _, p := range []struct {
		label, hint, href string
		action            Action
	}{
		{"Environments", "everything at a glance", "/", "environment.list"}, {"Fleet", "load balancer nodes", "/fleet", "router.list"},
		{"Audit", "what happened, and who did it", "/audit", "event.list"}, {"Verify the audit log", "", "/audit/verify", "audit.verify"}, {"Tokens", "who may call", "/tokens", "token.list"},
		{"Sessions", "who is signed in", "/sessions", "session.list"}, {"New environment", "", "/new-environment", "environment.create"},
		{"New token", "", "/tokens/new", "token.create"}, {"Wall", "a screen for the wall", "/wall", "environment.list"},
		{"API", "the contract, to read and try", "/docs", "environment.list"}, {"Keys", "shortcuts", "/keys", "environment.list"},
		{"First steps", "from an empty installation to a switch", "/start", "environment.list"},
	} {
		if Can(caller, p.action, "") {
			f.add(web.Entry{Kind: "page", Label: p.label, Hint: p.hint, Href: p.href, Dialog: p.href == "/tokens/new" || p.href == "/keys"}, p.label+" "+p.hint, 50)
		}
	}
}
