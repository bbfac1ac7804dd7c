package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	trafficClients = 5
	trafficPause   = 500 * time.Millisecond // of each client between two requests
	trafficStreak  = 10
	trafficReport  = 5 * time.Minute
)

// traffic is the demo's customers: a few clients who ask for the page all the time.
type traffic struct {
	url    string // of the proxy
	client *http.Client
	out    io.Writer
	clock  func() time.Time

	mu     sync.Mutex
	last   string         // colour of the last answer
	streak int            // answers of that colour in a row
	said   string         // colour last told of
	counts map[string]int // answers by colour since the last report
	failed int
}

func newTraffic(url string, out io.Writer) *traffic {
	return &traffic{url: url, out: out, clock: time.Now, counts: map[string]int{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: trafficClients}}}
}

// run asks until ctx ends. It prints a line when the colour changes and one of totals every few minutes.
func (t *traffic) run(ctx context.Context) error {
	var clients sync.WaitGroup
	defer t.client.CloseIdleConnections()
	defer clients.Wait()
	for i := range trafficClients {
		clients.Go(func() { t.ask(ctx, trafficPause*time.Duration(i)/trafficClients) })
	}
	ticker := time.NewTicker(trafficReport)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			t.mu.Lock()
			t.sayLocked("since the last line: " + t.totalsLocked())
			t.mu.Unlock()
		}
	}
}

// ask is one client, who begins after the offset so that the requests are spread evenly.
func (t *traffic) ask(ctx context.Context, offset time.Duration) {
	timer := time.NewTimer(offset)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		colour, err := t.request(ctx)
		if ctx.Err() != nil {
			return
		}
		t.note(colour, err)
		timer.Reset(trafficPause)
	}
}

func (t *traffic) request(ctx context.Context) (colour string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return "", err
	}
	request.Host = demoSite
	request.Header.Set("Accept", "application/json")
	answer, err := t.client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answer %s", answer.Status)
	}
	var about demoAbout
	if err := json.NewDecoder(answer.Body).Decode(&about); err != nil {
		return "", err
	}
	return about.Colour, nil
}

// note counts an answer, and says so when something is new: the first failure, and a colour that all of the last
// answers had. While traffic is split, that is none.
func (t *traffic) note(colour string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if t.failed++; t.failed == 1 {
			t.sayLocked("a request failed: " + err.Error())
		}
		return
	}
	t.counts[colour]++
	if colour != t.last {
		t.last, t.streak = colour, 0
	}
	if t.streak++; t.streak != trafficStreak || colour == t.said {
		return
	}
	if t.said == "" {
		t.sayLocked("the customers see " + colour)
	} else {
		t.sayLocked(fmt.Sprintf("the customers see %s instead of %s (since the last line: %s)", colour, t.said, t.totalsLocked()))
	}
	t.said = colour
}

// totalsLocked says what was counted, and begins anew.
func (t *traffic) totalsLocked() string {
	var parts []string
	for colour, n := range t.counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, colour))
	}
	slices.Sort(parts)
	parts = append(parts, fmt.Sprintf("%d failed", t.failed))
	t.counts, t.failed = map[string]int{}, 0
	return strings.Join(parts, ", ")
}

func (t *traffic) sayLocked(text string) {
	_, _ = fmt.Fprintf(t.out, "%s  traffic: %s\n", t.clock().Format(time.TimeOnly), text) // without a terminal nobody reads it
}
