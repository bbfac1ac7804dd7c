package docs

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed index.html start.js assets
var files embed.FS

// policy lets the page load from its own server only. Swagger UI sets style attributes and draws its icons from data.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// The types are ours to say: what the machine has in its own tables differs.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
}

// Handler serves the page at /docs and its files at /docs/{file}; mount it at both, for GET and HEAD. Other paths get
// a plain 404.
func Handler() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/docs"), "/")
	switch name {
	case "":
		name = "index.html"
	case "start.js":
	default:
		name = path.Join("assets", path.Base(name))
	}
	content, err := files.ReadFile(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", types[path.Ext(name)])
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "max-age=300")
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // the reader may have gone; there is nobody to tell
	}
}
