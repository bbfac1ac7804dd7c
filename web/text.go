package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
)

// htmxConfig turns off what a strict content security policy forbids, what we do not use, and every extension but ours; and what a
// reader opened stays open when what is in it changes.
const htmxConfig = `{"includeIndicatorCSS": false, "history": false, "extensions": "sse", "defaultTimeout": 20000,
"morphIgnore": ["data-htmx-powered", "open"], "sse": {"reconnectDelay": 500, "reconnectMaxDelay": 5000}}`

// local is an address of ours: a path, a query or a fragment. Anything else leads to the first page.
func local(address string) templ.SafeURL {
	path := strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "//") && !strings.HasPrefix(address, `/\`)
	if path || strings.HasPrefix(address, "?") || strings.HasPrefix(address, "#") {
		return templ.SafeURL(address)
	}
	return "/"
}

func itoa(n int) string { return strconv.Itoa(n) }

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (p Page) theme() Theme {
	switch p.Theme {
	case ThemeLight, ThemeDark:
		return p.Theme
	}
	return ThemeAuto
}
