package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var (
	paintGoal = goal{bound: 0.2} // seconds
	pageGoal  = goal{bound: 0.5} // of a core
	shownGoal = goal{bound: 0.1}
)

// TestBenchOverview measures the first paint of the overview with 500 environments, in Chromium, from the end of the
// response on.
func TestBenchOverview(t *testing.T) {
	gate(t)
	const environments = 500
	rounds := 15
	if testing.Short() {
		rounds = 5
	}
	pages, token := startPages(t, environments)
	b := startBrowser(t, pages.Address, token)
	var after, response []float64
	var painted struct {
		After, Bytes, Response float64
		Cards                  int
	}
	for round := -1; round < rounds; round++ { // the first one warms up
		b.order(t, `{"paint": true}`, &painted)
		if painted.Cards != environments {
			t.Fatalf("%d cards", painted.Cards)
		}
		if round >= 0 {
			after, response = append(after, painted.After/1000), append(response, painted.Response/1000)
		}
	}
	report(t, fmt.Sprintf("Overview with %d environments in Chromium: %.0f kB of HTML, %d rounds", environments, painted.Bytes/1000, rounds),
		paintGoal.row("first paint, seconds after the response", after),
		"the response itself, seconds\t"+ratio(response))
}

// TestBenchLive measures what an open overview of 100 environments costs while they change: 20 times a second in all,
// and 20 times a second each.
func TestBenchLive(t *testing.T) {
	gate(t)
	const environments = 100
	rounds, span := 4, 5*time.Second
	if testing.Short() {
		rounds, span = 2, 3*time.Second
	}
	pages, token := startPages(t, environments)
	var lines []string
	for _, each := range []int{20, 20 * environments} {
		idle := pages.share(t, each, span, func() { <-time.After(span) })
		b := startBrowser(t, pages.Address, token)
		var renderer, whole, served []float64
		var seen struct {
			Renderer, Whole, Changes float64
			Moved                    bool
			Live                     string
		}
		for round := -1; round < rounds; round++ { // the first one warms up
			share := pages.share(t, each, span, func() { b.order(t, fmt.Sprintf(`{"watch": %d}`, span.Milliseconds()), &seen) })
			if seen.Live != "live" || !seen.Moved {
				t.Errorf("the page says that it is %q; it has followed: %v", seen.Live, seen.Moved)
			}
			if round >= 0 {
				renderer, whole, served = append(renderer, seen.Renderer), append(whole, seen.Whole), append(served, share)
			}
		}
		b.end()
		lines = append(lines, fmt.Sprintf("%d changes a second\tshare of a core", each),
			pageGoal.row("  the page in Chromium", renderer),
			"  all of Chromium, drawing included\t"+ratio(whole),
			shownGoal.row("  the server", served),
			fmt.Sprintf("  the server while nobody looks\t%.2f", idle),
			fmt.Sprintf("  times that the page is drawn anew, each second\t%.1f", seen.Changes), "")
	}
	report(t, fmt.Sprintf("Overview with %d environments that change, in Chromium", environments), lines...)
}

// startPages plays the server of the pages, on a Postgres of its own.
func startPages(t *testing.T, environments int) (c *child, token string) {
	t.Helper()
	database := durablePostgres(t).URL("product")
	c = start(t, "pages", "", task{Database: database, Args: []string{fmt.Sprint(environments)}})
	return c, adminToken(t, database)
}

// share is how much of a core the server uses while its environments change at that pace and something else goes on.
func (c *child) share(t *testing.T, each int, span time.Duration, meanwhile func()) float64 {
	t.Helper()
	if err := c.tell.Encode(murmur{EachSecond: each}); err != nil {
		t.Fatal(err)
	}
	begin, before := time.Now(), c.processorTime()
	meanwhile()
	return (c.processorTime() - before).Seconds() / time.Since(begin).Seconds()
}

// browser is a Chromium with the overview open.
type browser struct {
	in  io.WriteCloser
	out *json.Decoder
	end func()
}

// startBrowser ends with the test, or before.
func startBrowser(t *testing.T, address, token string) *browser {
	t.Helper()
	folder, err := filepath.Abs("../web/browser")
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(folder, "node_modules", ".bin", "node")
	_, err = os.Stat(node)
	needs(t, err)
	chromium, err := exec.LookPath("chromium")
	needs(t, err)
	script, err := filepath.Abs("page.cjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, script)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "VIRIDIAN_URL=http://"+address, "VIRIDIAN_TOKEN="+token, "VIRIDIAN_CHROMIUM="+chromium)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &browser{in: in, out: json.NewDecoder(out)}
	ended := false
	b.end = func() {
		if ended {
			return
		}
		ended = true
		late := time.AfterFunc(endPatience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer late.Stop()
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the browser: %v", err)
		}
	}
	t.Cleanup(b.end)
	var hello struct{ Ready bool }
	b.read(t, &hello)
	var painted struct{ Cards int }
	b.order(t, `{"paint": true}`, &painted)
	return b
}

// order has the browser do something, and reads what came of it.
func (b *browser) order(t *testing.T, line string, out any) {
	t.Helper()
	if _, err := io.WriteString(b.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
	b.read(t, out)
}

func (b *browser) read(t *testing.T, out any) {
	t.Helper()
	read := make(chan error, 1)
	go func() { read <- b.out.Decode(out) }()
	late := time.NewTimer(2 * patience)
	defer late.Stop()
	select {
	case err := <-read:
		if err != nil {
			t.Fatalf("the browser: %v", err)
		}
	case <-late.C:
		t.Fatal(errors.New("the browser does not answer"))
	}
}
