package haproxy

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// TestProveHostileNames gives the driver ten thousand hostile environments, services, hosts, addresses and ids.
// Afterwards HAProxy is exactly as it was.
func TestProveHostileNames(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2)
	l.apply(3, all(1))
	l.stage(3, 2)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 5))
	t.Logf("seed %d", seed)
	before := l.snapshot()
	count, taken := full(1000, 10000), 0
	for range count {
		route, g := l.route(3, all(1)), at(2, slices.Clone(l.generation(2).Groups[0].Instances)...)
		route.Services = slices.Clone(route.Services)
		text := routertest.HostileText(random)
		switch random.IntN(6) {
		case 0:
			route.Environment = text
		case 1:
			route.Services[0].Name, g.Groups[0].Service = text, text
		case 2:
			route.Services[0].Hosts = []string{text}
		case 3:
			g.Groups[0].Instances = []rollout.Instance{{ID: "web-1", Address: text, Port: 80}}
		case 4:
			g.Groups[0].Service = text
		default:
			g.Groups[0].Instances[0].ID = text // which HAProxy is never told
		}
		if _, err := netip.ParseAddr(text); err == nil || rollout.ValidName(text) || plainHost.MatchString(hostKey(text)) {
			continue // no harm in it
		}
		fence := router.Fence{Revision: 3}
		if l.Stage(l.ctx, fence, route, g) == nil {
			taken++
		}
		if route.Environment == text || route.Services[0].Name == text || route.Services[0].Hosts[0] == text {
			for name, err := range map[string]error{
				"stage": l.Stage(l.ctx, fence, route, g), "apply": l.Apply(l.ctx, fence, route),
			} {
				if err == nil {
					t.Errorf("%s takes %.100q", name, text)
				}
			}
		}
		name := route.Environment
		if name == "shop" {
			name = text
		}
		_, _ = l.Observe(l.ctx, name) // refused or not: what counts is what HAProxy has afterwards
		_, _ = l.InFlight(l.ctx, name, 1)
		_, _ = l.Preview(l.ctx, name, 1)
		_, _ = l.Measure(l.ctx, name, time.Time{}, time.Now())
		if name != "shop" {
			_ = l.Remove(l.ctx, fence, name, 1)
			_ = l.Forget(l.ctx, fence, name)
		}
	}
	if d := cmp.Diff(before, l.snapshot()); d != "" {
		t.Errorf("HAProxy changed:\n%s", d)
	}
	t.Logf("%d names, %d with nothing in them for HAProxy", count, taken)
	l.serves("1", 200)
}

// snapshot is all that HAProxy holds, but for counters and times.
func (l *lab) snapshot() string {
	l.Helper()
	var out []string
	for line := range strings.Lines(l.say("show map " + l.mapPath())) {
		if _, rest, ok := strings.Cut(line, " "); ok {
			out = append(out, rest)
		}
	}
	rows, err := readStats(strings.TrimSuffix(l.say("show stat"), "\n"))
	if err != nil {
		l.Fatal(err)
	}
	for _, row := range rows {
		out = append(out, strings.Join([]string{row["pxname"], row["svname"], row["status"], row["addr"], row["weight"], row["mode"]}, " ")+"\n")
	}
	sort.Strings(out)
	return strings.Join(out, "")
}
