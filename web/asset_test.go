package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"viridian/web"
)

func get(path string, header ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	web.Assets(w, r)
	return w
}

// TestAssets_AreThoseOfThePages: everything that a page asks for is there, and may be kept for ever.
func TestAssets_AreThoseOfThePages(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllStringSubmatch(draw(t, web.EnvironmentPage(page("t", ""), shop(), history())), -1)
	if len(found) != 3 {
		t.Fatalf("the page names %d assets, want 3: %v", len(found), found)
	}
	for _, file := range found {
		a := get(file[1])
		if a.Code != http.StatusOK || !strings.Contains(a.Header().Get("Cache-Control"), "immutable") || a.Body.Len() == 0 || a.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", file[1], a.Code, a.Header())
		}
	}
}

// TestAssets_OfAnotherRelease: a page that an older or newer replica made gets the file of this one, not to be kept.
func TestAssets_OfAnotherRelease(t *testing.T) {
	t.Parallel()
	a := get("/assets/000000000000/all.css")
	if a.Code != http.StatusOK || a.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	for _, path := range []string{"/assets/", "/assets/x", "/assets/x/../doc.go", "/assets/x/none.js", "/assets/x/assets/all.css"} {
		if a := get(path); a.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.Code)
		}
	}
}

func TestAssets_ArePackedForWhoTakesIt(t *testing.T) {
	t.Parallel()
	plain, packed := get(web.Asset("all.js")), get(web.Asset("all.js"), "Accept-Encoding", "br, gzip")
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(content, plain.Body.Bytes()) || packed.Header().Get("Content-Encoding") != "gzip" || plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("%v: %d bytes, want %d; %v", err, len(content), plain.Body.Len(), packed.Header())
	}
}

// TestScript_EvaluatesNothing: the policy of the pages forbids it, and so nothing of ours may need it.
func TestScript_EvaluatesNothing(t *testing.T) {
	t.Parallel()
	script := get(web.Asset("all.js")).Body.String()
	own := script[strings.Index(script, "What pages do beyond loading"):]
	if found := regexp.MustCompile(`\beval\(|new Function|document\.write|\.style\b|https?://`).FindString(own); found != "" {
		t.Errorf("the script has %q", found)
	}
}

// TestAssets_AreShortAndServed: each style and script of ours is within the house's limit, and part of what pages ask for.
func TestAssets_AreShortAndServed(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("assets/*")
	if err != nil || len(names) < 10 {
		t.Fatalf("%v: %v", names, err)
	}
	for _, name := range names {
		kind := strings.TrimPrefix(filepath.Ext(name), ".")
		if (kind != "css" && kind != "js") || strings.HasSuffix(name, ".min.js") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > 400 {
			t.Errorf("%s has %d lines", name, n)
		}
		if !bytes.Contains(get(web.Asset("all."+kind)).Body.Bytes(), text) {
			t.Errorf("no page asks for %s", name)
		}
	}
}

// TestStyle_AsksNoOtherHost nor any file.
func TestStyle_AsksNoOtherHost(t *testing.T) {
	t.Parallel()
	if found := regexp.MustCompile(`url\(|@import|https?://|expression`).FindString(get(web.Asset("all.css")).Body.String()); found != "" {
		t.Errorf("the style has %q", found)
	}
}
