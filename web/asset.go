package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed assets
var files embed.FS

// AssetPath is where [Assets] is to be mounted, for GET and HEAD: the names below it are those that [Asset] gives.
const AssetPath = "/assets/"

// The types are ours to say: what the machine has in its own tables differs.
var types = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
}

// bundles are files that a page asks for as one: the order is that of loading.
var bundles = map[string][]string{
	"all.css": {"base.css", "frame.css", "parts.css", "overview.css", "environment.css", "history.css", "wall.css", "dialog.css", "screens.css", "forms.css"},
	"all.js":  {"htmx.min.js", "hx-sse.min.js", "viridian.js", "keys.js", "editor.js"},
}

// asset is one file as it is served.
type asset struct {
	content, packed []byte
	hash            string
	kind            string
}

var assets = loadAssets()

func loadAssets() map[string]asset {
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // it is compiled in
	}
	out := map[string]asset{}
	for _, entry := range entries {
		out[entry.Name()] = newAsset(entry.Name(), entry.Name())
	}
	for name, parts := range bundles {
		out[name] = newAsset(name, parts...)
	}
	return out
}

func newAsset(name string, parts ...string) asset {
	var content []byte
	for _, part := range parts {
		text, err := files.ReadFile("assets/" + part)
		if err != nil {
			panic(err) // it is compiled in
		}
		content = append(append(content, text...), '\n')
	}
	sum := sha256.Sum256(content)
	return asset{content: content, packed: pack(content), hash: hex.EncodeToString(sum[:6]), kind: types[path.Ext(name)]}
}

func pack(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(content) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// Asset is the URL of an embedded file or bundle. It changes with the content, so that it may be kept for ever.
func Asset(name string) string {
	return AssetPath + assets[name].hash + "/" + name
}

// Assets serves the embedded files at the URLs of [Asset]. A page of another release asks with another hash: it gets
// the file of this one, which is not to be kept.
func Assets(w http.ResponseWriter, r *http.Request) {
	hash, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, AssetPath), "/")
	file, ok := assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if hash == file.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	content := file.content
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content = file.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // the reader may have gone; there is nobody to tell
	}
}
