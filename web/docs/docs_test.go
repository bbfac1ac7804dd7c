package docs_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"viridian/web/docs"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	docs.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestHandler_ServesThePageAndItsFiles(t *testing.T) {
	t.Parallel()
	page := get(t, "/docs")
	if page.Code != http.StatusOK || page.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("/docs: %d %s", page.Code, page.Header().Get("Content-Type"))
	}
	files := regexp.MustCompile(`(?:src|href)="(/docs/[^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	if len(files) != 3 {
		t.Fatalf("the page names %d files of its own, want 3: %v", len(files), files)
	}
	for _, file := range files {
		w := get(t, file[1])
		kind := "text/javascript; charset=utf-8"
		if strings.HasSuffix(file[1], ".css") {
			kind = "text/css; charset=utf-8"
		}
		if w.Code != http.StatusOK || w.Body.Len() == 0 || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s: %d, %d bytes of %s, want 200 and %s", file[1], w.Code, w.Body.Len(), w.Header().Get("Content-Type"), kind)
		}
	}
	for _, path := range []string{"/docs/none.js", "/docs/../docs.go", "/docs/assets", "/docs/%2e%2e/docs.go", "/docs/doc.go"} {
		if w := get(t, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}

func TestHandler_AsksNoOtherHost(t *testing.T) {
	t.Parallel()
	// What the page itself, its start and its style load. The bundle only mentions hosts; the policy keeps it here.
	outside := regexp.MustCompile(`(?i)(?:src|href|url|action)\s*[:=(]\s*["']?(?:https?:)?//`)
	for _, path := range []string{"/docs", "/docs/start.js", "/docs/swagger-ui.css"} {
		w := get(t, path)
		if found := outside.FindString(w.Body.String()); found != "" {
			t.Errorf("%s refers to another host: %s", path, found)
		}
	}
	if strings.Contains(get(t, "/docs/swagger-ui.css").Body.String(), "@import") {
		t.Error("the style imports another one")
	}
	if !strings.Contains(get(t, "/docs/start.js").Body.String(), "validatorUrl: null") {
		t.Error("start.js leaves Swagger UI's validator on, which is another host")
	}
}

func TestHandler_PolicyKeepsThePageAtHome(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js"} {
		policy := get(t, path).Header().Get("Content-Security-Policy")
		for _, part := range strings.Split(policy, ";") {
			words := strings.Fields(part)
			for _, source := range words[1:] {
				switch source {
				case "'none'", "'self'", "data:":
				case "'unsafe-inline'":
					if words[0] != "style-src" {
						t.Errorf("%s: %s allows inline code", path, words[0])
					}
				default:
					t.Errorf("%s: %s allows %s", path, words[0], source)
				}
			}
		}
		for _, need := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'"} {
			if !strings.Contains(policy, need) {
				t.Errorf("%s: the policy lacks %q: %s", path, need, policy)
			}
		}
	}
	if page := get(t, "/docs").Body.String(); regexp.MustCompile(`<script[^>]*>[^<]|<style| on[a-z]+=`).MatchString(page) {
		t.Error("the page has inline script or style")
	}
}
