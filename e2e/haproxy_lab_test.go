package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"viridian/client"
	"viridian/router/routertest"
)

// balancer is one real HAProxy of a fleet, on the configuration that "viridian haproxy-config" prints, over all its runs.
type balancer struct {
	testing.TB
	name, dir, listen string
	cmd               *exec.Cmd
	history           revisions
}

// balancer prints the configuration for the environment and starts an HAProxy on it, until the end of the test.
func (l *lab) balancer(name, environment string, spec client.EnvironmentSpec) *balancer {
	l.Helper()
	dir, err := os.MkdirTemp("", "vir-e2e-") // sockets need a short path
	if err != nil {
		l.Fatal(err)
	}
	b := &balancer{TB: l, name: name, dir: dir, listen: address(l)}
	l.Cleanup(func() {
		b.kill()
		if log, err := os.ReadFile(b.path("log")); l.Failed() && err == nil {
			l.Logf("HAProxy %s wrote:\n%s", name, log)
		}
		_ = os.RemoveAll(dir)
	})
	raw, err := json.Marshal(spec)
	if err != nil {
		l.Fatal(err)
	}
	b.write("spec.json", raw)
	b.write("viridian.map", nil)
	path, err := program()
	if err != nil {
		l.Fatal(err)
	}
	printed, err := exec.CommandContext(l.Context(), path, "haproxy-config", environment, "--spec", b.path("spec.json"), "--init", "--listen", b.listen,
		"--folder", dir, "--socket", b.path("admin.sock"), "--fence", b.path("fence.sock")).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			l.Fatalf("haproxy-config: %s", exit.Stderr)
		}
		l.Fatal(err)
	}
	b.write("haproxy.cfg", printed)
	b.boot()
	return b
}

func (b *balancer) path(name string) string { return filepath.Join(b.dir, name) }

func (b *balancer) write(name string, text []byte) {
	b.Helper()
	if err := os.WriteFile(b.path(name), text, 0o600); err != nil {
		b.Fatal(err)
	}
}

// yaml is the node in viridian.yaml.
func (b *balancer) yaml() string {
	return fmt.Sprintf("      - {name: %s, socket: \"unix:%s\", fence: \"unix:%s\", map_file: %q}\n",
		b.name, b.path("admin.sock"), b.path("fence.sock"), b.path("viridian.map"))
}

// boot starts HAProxy and waits until its runtime socket answers.
func (b *balancer) boot() {
	b.Helper()
	log, err := os.OpenFile(b.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	b.cmd = exec.Command(routertest.HAProxy(b), "-db", "-f", b.path("haproxy.cfg"))
	b.cmd.Stdout, b.cmd.Stderr = log, log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if !within(patience, func() bool { _, err := b.tell("show info"); return err == nil }) {
		b.Fatalf("HAProxy %s does not answer", b.name)
	}
}

// kill ends HAProxy at once.
func (b *balancer) kill() {
	if b.cmd != nil {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = b.cmd.Wait()                                      // by the signal
		b.cmd = nil
	}
}

// signal stops or continues HAProxy.
func (b *balancer) signal(s syscall.Signal) {
	b.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.Fatal(err)
	}
}

// tell sends one command to the runtime socket, as somebody's hand would, and returns the answer.
func (b *balancer) tell(command string) (string, error) {
	conn, err := net.DialTimeout("unix", b.path("admin.sock"), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// entry is what HAProxy's map holds of the environment; empty when that is nothing.
func (b *balancer) entry(environment string) (string, error) {
	answer, err := b.tell("show map " + b.path("viridian.map") + ";show info")
	if err == nil && !strings.Contains(answer, "\nStart_time_sec: ") {
		err = errors.New("HAProxy ended over its answer")
	}
	for line := range strings.Lines(answer) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[1] == "env/"+environment {
			return fields[2], err
		}
	}
	return "", err
}

// revision is the one in the entry; 0 for none.
func (b *balancer) revision(environment string) (int64, error) {
	text, err := b.entry(environment)
	if err != nil || text == "" {
		return 0, err
	}
	first, _, _ := strings.Cut(text, "|")
	return strconv.ParseInt(first, 10, 64)
}

// revisions are those that a balancer was seen at, and where it went back.
type revisions struct {
	mu      sync.Mutex
	highest int64
	seen    int
	back    []string
}

func (r *revisions) note(at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	if at < r.highest {
		r.back = append(r.back, fmt.Sprintf("from %d to %d", r.highest, at))
	}
	r.highest = max(r.highest, at)
}

// watch reads the balancer's revision over and over until stop is called, which tells where it went back. A restart, from
// its map file, is no excuse.
func (b *balancer) watch(environment string) (stop func() (back []string, seen int)) {
	done, ended := make(chan struct{}), make(chan struct{})
	b.history = revisions{}
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			if at, err := b.revision(environment); err == nil {
				b.history.note(at)
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() ([]string, int) {
		close(done)
		<-ended
		return b.history.back, b.history.seen
	}
}

// fleet is an environment on HAProxies, driven by replicas.
type fleet struct {
	*shop
	replicas  []*replica
	balancers []*balancer
}

// newFleet starts three HAProxies and two replicas, with generation 1 live.
func newFleet(t testing.TB, required string) *fleet {
	t.Helper()
	return fleetOf(newLab(t), required, 3, "a", "b")
}

// fleetOf starts that many HAProxies, and replicas of these names.
func fleetOf(l *lab, required string, balancers int, replicas ...string) *fleet {
	l.Helper()
	routertest.HAProxy(l)
	f := &fleet{}
	l.routers = "routers:\n  edge:\n    driver: haproxy\n    required: " + required + "\n    nodes:\n"
	spec := (&replica{lab: l}).spec("shop", "edge").spec
	for i := range balancers {
		b := l.balancer(fmt.Sprintf("lb-%d", i+1), "shop", spec)
		f.balancers = append(f.balancers, b)
		l.routers += b.yaml()
	}
	for _, name := range replicas {
		r := l.replica(name)
		r.start("")
		f.replicas = append(f.replicas, r)
	}
	for _, r := range f.replicas {
		r.ready()
	}
	f.shop = f.replicas[0].shop("shop", "edge")
	f.promote(f.candidate())
	f.inSync("every HAProxy has its first route") // which a quorum is no word for
	return f
}

// through is the shop as it is asked through one of the replicas.
func (f *fleet) through(i int) *fleet {
	f.shop.replica = f.replicas[i]
	return f
}

// load puts traffic on every balancer.
func (f *fleet) load() map[string]*routertest.Traffic {
	out := map[string]*routertest.Traffic{}
	for _, b := range f.balancers {
		out[b.name] = routertest.Load{Address: b.listen, Host: f.host, KeepAlive: 2, Fresh: 1}.Start()
	}
	return out
}

// clean ends traffic, which must have met nothing bad, and returns the number of requests.
func (f *fleet) clean(traffic map[string]*routertest.Traffic) (requests int) {
	f.Helper()
	for name, t := range traffic {
		v := routertest.Check(t.Stop(), f.flips)
		if !v.Clean() || v.Requests == 0 {
			f.Errorf("on %s: %v", name, v)
		}
		requests += v.Requests
	}
	return requests
}

// receipt is what the API shows of a balancer.
func (f *fleet) receipt(b *balancer) client.Receipt {
	f.Helper()
	for _, r := range f.route().Receipts {
		if r.Node == b.name {
			return r
		}
	}
	f.Fatalf("no receipt of %s", b.name)
	return client.Receipt{}
}

// inSync waits until every balancer is seen at the present route, and says how long that took.
func (f *fleet) inSync(what string) time.Duration {
	f.Helper()
	began := time.Now()
	f.eventually(what, func() bool {
		route := f.route()
		for _, r := range route.Receipts {
			if r.State != client.ReceiptStateInSync || r.Error != "" {
				return false
			}
		}
		return len(route.Receipts) == len(f.balancers) && route.Switch.Status == client.SwitchStatusApplied
	})
	return time.Since(began)
}

// answers waits until the balancer answers with the generation, and says how long that took.
func (f *fleet) answers(b *balancer, generation int) time.Duration {
	f.Helper()
	began := time.Now()
	f.eventually(fmt.Sprintf("%s answers with generation %d", b.name, generation), func() bool {
		got, _ := f.at(b).ask()
		return got == generation
	})
	return time.Since(began)
}
