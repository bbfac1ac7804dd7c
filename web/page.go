package web

import "time"

// Page is what every page has around its content.
type Page struct {
	Title   string // of the page; the name of the product is put behind it
	Nav     string // the entry of the navigation that the page belongs to: environments, fleet, audit, tokens
	Theme   Theme
	Viewer  Viewer
	Live    Live
	Flash   []Flash
	Version string // of the program
	// At is when what the page shows was true, by the clock of the database; zero on pages that show no state.
	At time.Time
	// Refresh is how often the page loads itself anew without a script, in seconds; 0 for never.
	Refresh int
	Path    string // of the page, with its query: where the theme switch leads back to
}

// Viewer is who looks at the page. The zero Viewer is nobody.
type Viewer struct {
	Name string // of the token that was signed in with
	Role string
	CSRF string // what forms of this session carry
	// Tokens says whether the viewer may list tokens.
	Tokens bool
}

// SignedIn says whether there is somebody.
func (v Viewer) SignedIn() bool { return v.Role != "" }

// Live says where a page gets its changes from. The zero Live is a page that stands still.
type Live struct {
	Stream string // URL of the page's event stream; with poll=1 it answers once
}

// Flash is a message that is shown once, above the page.
type Flash struct {
	Tone Tone
	Text string
}

// Theme is light or dark, or what the reader's machine prefers.
type Theme string

// The themes.
const (
	ThemeAuto  Theme = "auto"
	ThemeLight Theme = "light"
	ThemeDark  Theme = "dark"
)

// Themes lists the themes in the order of the switch.
func Themes() []Theme { return []Theme{ThemeAuto, ThemeLight, ThemeDark} }

// Tone is what a state, message or mark means to the reader. Each has its own shape beside its colour.
type Tone string

// The tones.
const (
	Neutral Tone = "neutral" // nothing to be done
	Good    Tone = "good"    // as it should be
	Busy    Tone = "busy"    // on its way
	Warn    Tone = "warn"    // look at it
	Bad     Tone = "bad"     // broken
)

// glyph is the shape of a tone.
func (t Tone) glyph() string {
	switch t {
	case Good:
		return "✓"
	case Busy:
		return "◐"
	case Warn:
		return "▲"
	case Bad:
		return "✕"
	}
	return "–"
}
