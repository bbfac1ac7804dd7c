package haproxy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// TestObserve_NamesWhatAHandChanged edits a node as a person at the socket would. The observation names it, or shows
// other weights or a generation that is lost; staging and applying again, or at the next revision where weights were
// moved, puts it right.
func TestObserve_NamesWhatAHandChanged(t *testing.T) {
	t.Parallel()
	edit := func(l *lab, change func(*entry)) string {
		e, err := parseEntry(l.entryText())
		if err != nil {
			l.Fatal(err)
		}
		change(&e)
		return "set map " + l.mapPath() + " env/shop " + e.encode()
	}
	for name, c := range map[string]struct {
		command func(l *lab) string
		finds   string // in Error
		lost    []int  // no longer staged
		moved   bool   // to other weights at the same revision: drift, which the same revision does not mend
	}{
		"entry deleted":        {command: func(l *lab) string { return "del map " + l.mapPath() + " env/shop" }, finds: "somebody took it out", lost: []int{1, 2}},
		"entry overwritten":    {command: func(l *lab) string { return "set map " + l.mapPath() + " env/shop green" }, finds: `"green"`, lost: []int{1, 2}},
		"entry with spaces":    {command: func(l *lab) string { return "set map " + l.mapPath() + ` env/shop a\ b` }, finds: `"a b"`, lost: []int{1, 2}},
		"entry of no revision": {command: func(l *lab) string { return "set map " + l.mapPath() + " env/shop 9223372036854775807|1|0|0" }, finds: "changed by hand", lost: []int{1, 2}},
		"entry of the last revision": {command: func(l *lab) string {
			return "set map " + l.mapPath() + " env/shop " + strings.Replace(l.entryText(), "7|", "9007199254740991|", 1)
		}, finds: "changed by hand", lost: []int{1, 2}},
		"slot changed": {command: func(l *lab) string {
			return "set map " + l.mapPath() + " env/shop " + strings.Replace(l.entryText(), "7|2|", "7|1|", 1)
		}, finds: "changed by hand", moved: true},
		"slot changed with a right check": {command: func(l *lab) string { return edit(l, func(e *entry) { e.a = 1 }) }, finds: "changed by hand", moved: true},
		"share changed": {command: func(l *lab) string {
			return "set map " + l.mapPath() + " env/shop " + strings.Replace(l.entryText(), "7|2|0|0|", "7|2|1|50|", 1)
		}, finds: "changed by hand", moved: true},
		"set back":             {command: func(l *lab) string { return edit(l, func(e *entry) { e.revision, e.a = 5, 1 }) }, finds: "set back by hand"},
		"host deleted":         {command: func(l *lab) string { return "del map " + l.mapPath() + " host/" + shopHost }, finds: "the hosts were changed"},
		"host added":           {command: func(l *lab) string { return "add map " + l.mapPath() + " host/evil.localhost shop.web" }, finds: "evil.localhost"},
		"live in maintenance":  {command: func(*lab) string { return "set server viridian.shop.web.2/s1 state maint" }, finds: "web/s1 is in maintenance", lost: []int{2}},
		"live drained":         {command: func(*lab) string { return "set server viridian.shop.web.2/s1 state drain" }, finds: "web/s1 is draining", lost: []int{2}},
		"live moved":           {command: func(*lab) string { return "set server viridian.shop.web.2/s1 addr 127.0.0.1 port 9" }, finds: "s1 is at 127.0.0.1:9 instead of", lost: []int{2}},
		"live unchecked":       {command: func(*lab) string { return "disable health viridian.shop.web.2/s1" }, finds: "web/s1 is not checked", lost: []int{2}},
		"stranger let in":      {command: func(*lab) string { return "set server viridian.shop.web.2/s3 state ready" }, finds: "web/s3", lost: []int{2}},
		"standby moved":        {command: func(*lab) string { return "set server viridian.shop.web.1/s1 addr 127.0.0.1 port 9" }, finds: "slot 1", lost: []int{1}},
		"live without a share": {command: func(*lab) string { return "set server viridian.shop.web.2/s1 weight 0" }, finds: "web/s1 has the weight 0 instead of 1", lost: []int{2}},
		"live asked elsewhere": {command: func(*lab) string { return "set server viridian.shop.web.2/s1 check-port 9" }, finds: "asked for its health at another address", lost: []int{2}},
		"server added": {command: func(l *lab) string {
			l.say("add server viridian.shop.web.2/mine 127.0.0.1:9")
			return "set server viridian.shop.web.2/mine state ready"
		}, finds: "server web/mine", lost: []int{2}},
		"preview deleted":        {command: func(l *lab) string { return "del map " + l.mapPath() + " gen/shop/1" }, finds: "gen/shop/1 should be 1 and is gone", lost: []int{1}},
		"preview changed":        {command: func(l *lab) string { return "set map " + l.mapPath() + " gen/shop/1 2" }, finds: `gen/shop/1 should be 1 and is "2"`, lost: []int{1}},
		"preview added":          {command: func(l *lab) string { return "add map " + l.mapPath() + " gen/shop/9 2" }, finds: "gen/shop/9, which is of no generation"},
		"entry twice":            {command: func(l *lab) string { return "add map " + l.mapPath() + " env/shop 9|1|0|0" }, finds: "env/shop twice"},
		"host twice":             {command: func(l *lab) string { return "add map " + l.mapPath() + " host/" + shopHost + " other.web" }, finds: "host/shop.localhost twice"},
		"host led away":          {command: func(l *lab) string { return "set map " + l.mapPath() + " host/" + shopHost + " other.web" }, finds: "the hosts were changed"},
		"map cleared":            {command: func(l *lab) string { return "clear map " + l.mapPath() }, finds: "somebody took it out", lost: []int{1, 2}},
		"live address and check": {command: func(*lab) string { return "set server viridian.shop.web.2/s1 check-addr 127.0.0.9" }, finds: "asked for its health at another address", lost: []int{2}},
		"standby switched off":   {command: func(*lab) string { return "disable server viridian.shop.web.1/s1" }, finds: "maintenance", lost: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.stage(0, 1, 2)
			l.apply(7, all(2))
			command := c.command(l)
			if answer := strings.TrimSpace(l.say(command)); answer != "" && !strings.HasPrefix(answer, "no need") && !strings.HasPrefix(answer, "IP changed") {
				t.Fatalf("%s: %s", command, answer)
			}
			o := l.observe()
			t.Logf("%s: revision %d, staged %v: %s", command, o.Revision, o.Staged, o.Error)
			if !strings.Contains(o.Error, c.finds) {
				t.Errorf("the error does not name %q", c.finds)
			}
			if told := strings.Join(o.Edits, "; "); !strings.Contains(told, c.finds) {
				t.Errorf("the edits do not name %q: %s", c.finds, told)
			}
			for _, number := range c.lost {
				if fmt.Sprint(o.Staged) == "[1 2]" {
					t.Errorf("generation %d counts as staged", number)
				}
			}
			if drifted := o.Revision == 7 && o.Hash != l.route(7, all(2)).Hash(); drifted != c.moved {
				t.Errorf("revision %d with %v: drifted %v, want %v", o.Revision, o.Weights, drifted, c.moved)
			}
			revision := int64(7)
			if c.moved {
				if err := l.tryApply(7, all(2)); err == nil || !strings.Contains(err.Error(), router.ErrDiverged.Error()) {
					t.Errorf("the same revision with other weights: %v", err)
				}
				revision = 8
			}
			l.mends(revision)
		})
	}
}

// TestUndone_IsTold: an edit that a Stage or an Apply wrote over, before anybody observed it, is told afterwards.
func TestUndone_IsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ command, told string }{
		"entry deleted":       {"del map MAP env/shop", "somebody took it out"},
		"entry overwritten":   {"set map MAP env/shop green", `it reads "green"`},
		"entry set back":      {"set map MAP env/shop OLDER", "at revision 6 instead of 7"},
		"entry added":         {"add map MAP env/shop green", "env/shop twice"},
		"preview added":       {"add map MAP gen/shop/9 1", "gen/shop/9"},
		"live in maintenance": {"set server viridian.shop.web.2/s1 state maint", "web/s1 is in maintenance"},
		"standby moved":       {"set server viridian.shop.web.1/s1 addr 127.0.0.1 port 9", "s1 is at 127.0.0.1:9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.stage(0, 1, 2)
			l.apply(6, all(1))
			older := l.entryText()
			l.apply(7, all(2))
			if o := l.observe(); len(o.Edits) > 0 {
				t.Fatalf("told of before anything was edited: %v", o.Edits)
			}
			l.say(strings.NewReplacer("MAP", l.mapPath(), "OLDER", older).Replace(c.command))
			l.mends(7)
			if told := strings.Join(l.observe().Edits, "; "); strings.Count(told, c.told) != 1 {
				t.Errorf("told of %q, want %q", told, c.told)
			}
		})
	}
}

// TestUndone_IsToldForAWhile, and not at all when it was observed before.
func TestUndone_IsToldForAWhile(t *testing.T) {
	t.Parallel()
	u := undone{edits: map[string][]undoneEdit{}, told: map[string][]string{}}
	at := time.Unix(1e9, 0)
	tells := func(after time.Duration, found []string, want ...string) {
		t.Helper()
		if got := u.observe("shop", found, at.Add(after)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %v told of %v, want %v", after, got, want)
		}
	}
	tells(0, []string{"drained"}, "drained")
	u.add("shop", []string{"drained", "deleted"}, at)
	tells(undoneMemory/2, nil, "deleted")
	u.add("shop", []string{"drained"}, at.Add(undoneMemory/2)) // again, and not observed
	tells(undoneMemory, []string{"deleted"}, "deleted", "drained")
	tells(undoneMemory+1, nil, "drained")
	tells(2*undoneMemory, nil)
}

// mends does what a controller would: it stages what should be there, and applies the route.
func (l *lab) mends(revision int64) {
	l.Helper()
	route := l.route(revision, all(2))
	for _, number := range []int{2, 1} {
		if err := l.Stage(l.ctx, router.Fence{Revision: revision}, route, l.generation(number)); err != nil {
			l.Errorf("stage again: %v", err)
		}
	}
	if err := l.tryApply(revision, all(2)); err != nil {
		l.Errorf("apply again: %v", err)
	}
	o := l.observe()
	if o.Error != "" || o.Revision != revision || o.Hash != route.Hash() || fmt.Sprint(o.Staged) != "[1 2]" || o.Grade != rollout.GradeFenced {
		l.Errorf("after mending: revision %d with %v, staged %v, %s: %s", o.Revision, o.Weights, o.Staged, o.Grade, o.Error)
	}
	l.serves("2", 200)
	l.remove(revision, 1)
}

func (l *lab) mapPath() string { return filepath.Join(l.dir, mapName) }

// entryText is the environment's entry as HAProxy holds it.
func (l *lab) entryText() string {
	l.Helper()
	v, err := l.look(l.ctx, "")
	if err != nil {
		l.Fatal(err)
	}
	return v.entries["env/shop"]
}

// TestObserve_NamesDamagedFiles edits the files that the next start will read.
func TestObserve_NamesDamagedFiles(t *testing.T) {
	t.Parallel()
	replace := func(l *lab, name, old, fresh string) {
		path := filepath.Join(l.dir, name)
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), old) {
			l.Fatalf("%s: %v\n%s", name, err, text)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, fresh)), 0o600); err != nil {
			l.Fatal(err)
		}
	}
	older := func(l *lab) string {
		e, err := parseEntry(l.entryText())
		if err != nil {
			l.Fatal(err)
		}
		e.revision, e.a = 6, 1
		return e.encode()
	}
	state := stateName(backendName("shop", "web", 2))
	for name, c := range map[string]struct {
		damage   func(l *lab)
		revision int64
		finds    string
	}{
		"map file gone":        {func(l *lab) { _ = os.Remove(l.mapPath()) }, 0, "not durable"},
		"map file older":       {func(l *lab) { replace(l, mapName, l.entryText(), older(l)) }, 6, "not durable"},
		"map file set back":    {func(l *lab) { replace(l, mapName, "env/shop 7|2|", "env/shop 6|1|") }, 0, `the map file was changed by hand: it reads "6|1|`},
		"map file set forward": {func(l *lab) { replace(l, mapName, "env/shop 7|", "env/shop 99|") }, 0, `the map file was changed by hand: it reads "99|`},
		"map file overwritten": {func(l *lab) { replace(l, mapName, "env/shop ", "env/shop green ") }, 0, "the map file was changed by hand"},
		"state file gone":      {func(l *lab) { _ = os.Remove(filepath.Join(l.dir, state)) }, 7, "the state file of slot 2"},
		"state file of others": {func(l *lab) { replace(l, state, " 127.0.0.1 ", " 127.0.0.3 ") }, 7, "the state file of slot 2"},
		"state file garbled":   {func(l *lab) { replace(l, state, "1\n#", "9\n#") }, 7, "state file of slot 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.stage(0, 1, 2)
			l.apply(7, all(2))
			c.damage(l)
			if o := l.observe(); o.Revision != c.revision || !strings.Contains(o.Error, c.finds) {
				t.Errorf("observed at revision %d: %s", o.Revision, o.Error)
			}
			l.apply(7, all(2))
			if o := l.observe(); o.Revision != 7 || o.Error != "" {
				t.Errorf("after another apply at revision %d: %s", o.Revision, o.Error)
			}
			l.kill()
			l.boot()
			l.serves("2", 200)
		})
	}
}

// TestKeep_LeavesOthersAlone: what a hand did to one environment does not reach the map file with the next flip of
// another one, so that a restart brings it back.
func TestKeep_LeavesOthersAlone(t *testing.T) {
	t.Parallel()
	blog := shop()
	blog.Environment, blog.Services[0].Hosts = "blog", []string{"blog.localhost"}
	l := newLab(t, func(_ *haproxy, c *Config) { c.Environments = environmentsOf([]rollout.Route{shop(), blog}) })
	l.stage(0, 1, 2)
	l.apply(7, all(2))
	good := l.entryText()
	g := l.generation(1)
	g.Environment = "blog"
	if err := l.Stage(l.ctx, router.Fence{}, blog, g); err != nil {
		t.Fatal(err)
	}
	older, err := parseEntry(good)
	if err != nil {
		t.Fatal(err)
	}
	older.revision = 6
	for i, command := range []string{"del map " + l.mapPath() + " env/shop", "add map " + l.mapPath() + " env/shop green", "set map " + l.mapPath() + " env/shop " + older.encode()} {
		if answer := strings.TrimSpace(l.say(command)); answer != "" {
			t.Fatalf("%s: %s", command, answer)
		}
		blog.Revision, blog.Weights, blog.Live = int64(i+1), all(1), 1
		if err := l.Apply(l.ctx, router.Fence{}, blog); err != nil {
			t.Fatal(err)
		}
		if _, lines, err := l.files.readMap(l.ctx); err != nil || lines["env/shop"] != good {
			t.Errorf("after %s the file says %q (%v)", command, lines["env/shop"], err)
		}
	}
	l.kill()
	l.boot()
	l.serves("2", 200)
	if s, g := l.haproxy.ask("blog.localhost", "/"); s != 200 || g != "1" {
		t.Errorf("the other environment is answered with %d by %q", s, g)
	}
	if err := l.Forget(l.ctx, router.Fence{Revision: 3}, "blog"); err == nil {
		t.Error("an environment that serves is forgotten")
	}
}
