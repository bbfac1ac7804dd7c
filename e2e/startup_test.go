package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"viridian/store/storetest"
)

// TestStart_FiveAtOnce: whoever is first makes the schema, and all serve.
func TestStart_FiveAtOnce(t *testing.T) {
	t.Parallel()
	l := labOn(t, storetest.EmptyDatabase(t))
	l.timing.callTimeout = 10 * time.Second
	var all []*replica
	for i := range 5 {
		all = append(all, l.replica(fmt.Sprintf("r%d", i)))
	}
	for _, r := range all {
		r.start("")
	}
	for _, r := range all {
		r.ready()
	}
	s := all[0].shop("shop")
	s.promote(s.candidate())
	for _, r := range all {
		on := s.on(r)
		l.eventually("replica "+r.name+" serves what was promoted", func() bool { generation, _ := on.ask(); return generation == 1 })
	}
	if nodes := len(s.route().Receipts); nodes != 5 {
		t.Errorf("%d nodes have a receipt, want 5", nodes)
	}
	s.audit()
}

// TestStart_DirtySchema: a migration that was cut short stops nobody's traffic, is explained with the command that
// repairs it, and once that was run the waiting process goes on by itself.
func TestStart_DirtySchema(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := l.replica("a")
	r.start("")
	r.ready()
	s := r.shop("shop")
	s.promote(s.candidate())
	r.kill()

	version := l.number("SELECT version FROM schema_migrations")
	l.sql("UPDATE schema_migrations SET dirty = true")
	explained := fmt.Sprintf("marked dirty at version %d: look whether the changes of that migration are there, "+
		"then run `viridian migrate force %d` if they are, or `viridian migrate force %d` if not", version, version, version-1)
	r.start("")
	l.eventually("the log explains it", func() bool { text, _ := os.ReadFile(r.log); return strings.Contains(string(text), explained) })
	if generation, status := s.ask(); generation != 1 {
		t.Errorf("with a dirty schema a request is answered with status %d", status)
	}
	if api, proxy := r.status("/readyz"), r.status("/readyz/proxy"); api != http.StatusServiceUnavailable || proxy != http.StatusOK {
		t.Errorf("with a dirty schema: /readyz %d, /readyz/proxy %d; want 503 and 200", api, proxy)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"up"}, {"version"}} {
		out, _ := exec.Command(path, append([]string{"migrate"}, append(command, "--config", r.config)...)...).CombinedOutput()
		if want := map[string]string{"up": explained, "version": ", dirty"}[command[0]]; !strings.Contains(string(out), want) {
			t.Errorf("migrate %s says %q", command[0], out)
		}
	}
	out, err := exec.Command(path, "migrate", "force", "--config", r.config, fmt.Sprint(version)).CombinedOutput()
	if err != nil {
		t.Fatalf("the repair: %v: %s", err, out)
	}
	r.ready()
	s.promote(s.candidate())
	s.audit()
}
