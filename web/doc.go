// Package web draws the pages that people see: templ components, their view models, the style sheet, one small script
// of our own, and htmx 4.0.1 with its SSE extension (htmx.org from npm, unchanged in assets/).
//
// A page is a function of values: this package asks nothing, knows no session and no database, and decides nothing.
// Package server fills the views and serves the pages. Everything is embedded, no other host is asked, and nothing is
// inline, so that the pages work under a strict content security policy. `make generate` makes the *_templ.go files.
//
// To update htmx, put htmx.min.js, hx-sse.min.js and the licence of a newer release into assets/.
//
// Start reading at page.go.
package web

//go:generate go tool -modfile=../tools/go.mod templ generate -path .
