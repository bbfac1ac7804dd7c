package cli

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

//go:embed demo_page.html
var demoPageText string

var demoPage = template.Must(template.New("page").Parse(demoPageText))

// demoApp is one instance of the small application of the demo. It shows which build it is, in large.
type demoApp struct {
	about demoAbout
	count atomic.Int64
}

// demoAbout is what an instance tells of itself.
type demoAbout struct {
	Colour   string `json:"colour"`
	Version  string `json:"version"`
	Instance string `json:"instance"`
	Requests int64  `json:"requests"` // answered by this instance so far
}

// demoShades are the backgrounds, by the colour's name.
var demoShades = map[string]string{"blue": "#1d4ed8", "green": "#15803d", "viridian": "#40826d"}

// demoColour is what the builds of the demo look like: in turn blue, green and viridian, the pigment between them.
func demoColour(build int) string { return []string{"viridian", "blue", "green"}[build%3] }

func demoVersion(build int) string { return fmt.Sprintf("1.%d.0", build) }

func newDemoApp(build int, instance string) *demoApp {
	return &demoApp{about: demoAbout{Colour: demoColour(build), Version: demoVersion(build), Instance: instance}}
}

func (a *demoApp) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /slow", a.slow)
	mux.HandleFunc("GET /", a.show)
	return mux
}

// show answers in the form that the caller asks for: a page for browsers, JSON, or one line for curl.
func (a *demoApp) show(w http.ResponseWriter, r *http.Request) {
	about := a.about
	about.Requests = a.count.Add(1)
	w.Header().Set("Cache-Control", "no-store")
	switch accept := r.Header.Get("Accept"); {
	case strings.Contains(accept, "text/html"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = demoPage.Execute(w, struct { // the reader has gone away
			demoAbout
			Shade template.CSS
		}{about, template.CSS(demoShades[about.Colour])}) //nolint:gosec // one of our own three colours
	case strings.Contains(accept, "application/json"):
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(about) // as above
	default:
		w.Write(fmt.Appendf(nil, "%s  version %s  instance %s  request %d\n", about.Colour, about.Version, about.Instance, about.Requests))
	}
}

// longestSlow bounds what /slow can be asked for.
const longestSlow = 10 * time.Minute

// slow answers after ?ms= milliseconds, to see what becomes of a long request when traffic is switched.
func (a *demoApp) slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	pause := time.Duration(ms) * time.Millisecond
	if err != nil || ms < 0 || pause > longestSlow {
		http.Error(w, "ms is a number from 0 to 600000", http.StatusBadRequest)
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		a.show(w, r)
	case <-r.Context().Done():
	}
}
