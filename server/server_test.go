package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"viridian/rollout/controller"
	"viridian/store"
)

func TestNew_NeedsWhatItCannotDoWithout(t *testing.T) {
	t.Parallel()
	service := controller.NewService(controller.Options{Hub: controller.NewHub()})
	database, err := store.Open(t.Context(), store.Options{URL: "postgres://localhost/nothing"})
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	raw := contractFile(t)
	for name, o := range map[string]Options{
		"no use cases":       {Store: database, OpenAPI: raw},
		"no store":           {Service: service, OpenAPI: raw},
		"no contract":        {Service: service, Store: database},
		"a broken contract":  {Service: service, Store: database, OpenAPI: []byte("openapi: [")},
		"a smaller contract": {Service: service, Store: database, OpenAPI: []byte("{openapi: 3.1.0, info: {title: x, version: '1'}, paths: {}}")},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	handler, err := New(Options{Service: service, Store: database, OpenAPI: raw})
	if err != nil {
		t.Fatal(err)
	}
	got := httptest.NewRecorder()
	handler.ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/livez", nil))
	if got.Code != http.StatusOK {
		t.Errorf("/livez: %d", got.Code)
	}
}

func TestHTTPServer_BoundsTheHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	a := w.rawRequest("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 20<<10) + "\r\n\r\n")
	if a != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("20 KiB of headers: %d", a)
	}
	if a := w.rawRequest("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 8<<10) + "\r\n\r\n"); a != http.StatusOK {
		t.Errorf("8 KiB of headers: %d", a)
	}
	if s := HTTPServer(w.server); s.ReadHeaderTimeout != 5*time.Second || s.IdleTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 {
		t.Errorf("a server without bounds: %+v", s)
	}
}

// TestHTTPServer_WaitOutlastsTheReadTimeout: the time to read a request does not cut short a wait for its answer.
func TestHTTPServer_WaitOutlastsTheReadTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.environment("shop")
	w.ready("shop")
	w.stop()
	short := httptest.NewUnstartedServer(nil)
	short.Config = HTTPServer(w.server)
	short.Config.ReadTimeout, short.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	short.Start()
	defer short.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, short.URL+generations+"/1/promote?timeout=1s", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.admin())
	r.Header.Set("Content-Type", "application/json")
	got, err := short.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusAccepted {
		t.Errorf("status %d, want 202 after the whole second", got.StatusCode)
	}
}

// rawRequest sends bytes and returns the status of the answer.
func (w *world) rawRequest(text string) int {
	w.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		w.t.Fatal(err)
	}
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer got.Body.Close()
	return got.StatusCode
}
