package web

import (
	"strconv"
	"time"
)

// htmxConfig turns off what a strict content security policy forbids, what we do not use, and every extension but ours.
const htmxConfig = `{"includeIndicatorCSS": false, "history": false, "extensions": "sse", "defaultTimeout": 20000,
"sse": {"reconnectDelay": 500, "reconnectMaxDelay": 5000}}`

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
