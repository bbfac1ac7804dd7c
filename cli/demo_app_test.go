package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDemoApp_AnswersInTheFormAskedFor(t *testing.T) {
	t.Parallel()
	handler := newDemoApp(2, "web-2-a").handler()
	for accept, want := range map[string]string{
		"*/*":                        "green  version 1.2.0  instance web-2-a  request ",
		"application/json":           `{"colour":"green","version":"1.2.0","instance":"web-2-a","requests":`,
		"text/html,application/json": "#15803d",
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		request.Header.Set("Accept", accept)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), want) {
			t.Errorf("Accept %s: %d %s", accept, answer.Code, answer.Body)
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/slow?ms=1": 200, "/slow?ms=-1": 400, "/slow?ms=x": 400, "/slow?ms=600001": 400} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if answer.Code != want {
			t.Errorf("%s: %d, want %d", path, answer.Code, want)
		}
	}
}

func TestTraffic_SaysWhatIsNew(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	traffic := newTraffic("", &out)
	traffic.clock = func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }
	note := func(colour string, times int) {
		for range times {
			traffic.note(colour, nil)
		}
	}
	note("blue", 20)
	note("green", 1)
	note("blue", 20) // one late answer, or a split, is no news
	traffic.note("", errors.New("first"))
	traffic.note("", errors.New("second"))
	note("green", 20)
	want := ""
	for _, line := range []string{"the customers see blue", "a request failed: first", "the customers see green instead of blue (since the last line: 11 green, 40 blue, 2 failed)"} {
		want += fmt.Sprintf("12:00:00  traffic: %s\n", line)
	}
	if out.String() != want {
		t.Fatalf("%s\nwant\n%s", out.String(), want)
	}
}

func TestDemoFleet_ComesBackOnItsPorts(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first, err := newDemoFleet(folder)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newDemoFleet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other.close()
	if first.Ports == other.Ports {
		t.Fatal("two demos on the same ports")
	}
	_, err = newDemoFleet(folder)
	want := fmt.Sprintf("port %d, where instance web-1-a of the demo was registered, cannot be used", first.Ports[0][0])
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("while the ports are taken: %v", err)
	}
	first.close()
	again, err := newDemoFleet(folder)
	if err != nil {
		t.Fatal(err)
	}
	again.close()
	if again.Ports != first.Ports {
		t.Fatalf("%v, then %v", first.Ports, again.Ports)
	}
}
