package consultest

import (
	"encoding/json"
	"math/rand/v2"
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

	"github.com/hashicorp/consul/api"
)

const patience = 60 * time.Second

// Agent is one running Consul agent on loopback, at ports of its own.
type Agent struct {
	HTTP string // host:port of the HTTP API
	DNS  string // host:port of the DNS interface, UDP and TCP
	Node string // the name of its node
	// Token is the management token where access control is on.
	Token string

	t      testing.TB
	ports  []int
	config map[string]any
	dir    string
	cmd    *exec.Cmd
	ended  chan struct{}

	mu      sync.Mutex
	clients map[string]*api.Client // by token
}

// Dev starts an agent that keeps everything in memory, and waits until it has a leader.
func Dev(t testing.TB) *Agent {
	t.Helper()
	a := newAgent(t, nil)
	a.Start()
	return a
}

// Durable starts a server that keeps its state in a folder over restarts.
func Durable(t testing.TB) *Agent {
	t.Helper()
	a := newAgent(t, map[string]any{"server": true, "bootstrap_expect": 1, "data_dir": t.TempDir(),
		"connect": map[string]any{"enabled": true}})
	a.Start()
	return a
}

// WithACL starts an agent where nothing is allowed without a token.
func WithACL(t testing.TB) *Agent {
	t.Helper()
	const root = "5f1bd1ad-4f3f-4c59-9d69-0a2f4f9c1a11" // any UUID; the agent ends with the test
	a := newAgent(t, map[string]any{"acl": map[string]any{"enabled": true, "default_policy": "deny",
		"tokens": map[string]any{"initial_management": root, "agent": root}}})
	a.Token = root
	a.Start()
	return a
}

// newAgent chooses ports and writes the configuration. Without settings it is a development agent.
func newAgent(t testing.TB, settings map[string]any) *Agent {
	t.Helper()
	need(t)
	ports := freePorts(t, 7)
	a := &Agent{t: t, ports: ports, clients: map[string]*api.Client{}, dir: t.TempDir(), HTTP: address(ports[0]), DNS: address(ports[1]), Node: "agent-" + strconv.Itoa(ports[0])}
	a.config = map[string]any{
		"bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "node_name": a.Node,
		"log_level": "warn", "disable_update_check": true, "leave_on_terminate": true, "skip_leave_on_interrupt": true,
		"performance": map[string]any{"raft_multiplier": 1},
		"ports": map[string]any{"http": ports[0], "dns": ports[1], "server": ports[2], "serf_lan": ports[3],
			"serf_wan": ports[4], "grpc": ports[5], "grpc_tls": ports[6], "https": -1},
	}
	for key, value := range settings {
		a.config[key] = value
	}
	t.Cleanup(a.Kill)
	return a
}

// Start runs the agent and waits until it has a leader. It must not be running.
func (a *Agent) Start() {
	a.t.Helper()
	a.run()
	a.AwaitLeader()
}

func (a *Agent) run() {
	a.t.Helper()
	path := filepath.Join(a.dir, "agent.json")
	text, err := json.Marshal(a.config)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	args := []string{"agent", "-config-file", path}
	if a.config["data_dir"] == nil {
		args = append(args, "-dev")
	}
	log, err := os.OpenFile(filepath.Join(a.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(need(a.t), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	ended := make(chan struct{})
	a.cmd, a.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // how it ended is of no interest: tests kill it
		close(ended)
	}()
}

// AwaitLeader waits until the agent knows a leader and can be written to.
func (a *Agent) AwaitLeader() {
	a.t.Helper()
	client := a.Client(a.Token)
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		leader, err := client.Status().Leader()
		if err == nil && leader != "" {
			if _, err = client.KV().Put(&api.KVPair{Key: "consultest"}, nil); err == nil {
				_, err = client.KV().Delete("consultest", nil)
			}
			if err == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("Consul has no leader after %v: %v\n%s", patience, err, a.log())
		}
		select {
		case <-a.ended: // somebody had one of its ports while it was down, or since they were chosen
			a.run()
		default:
		}
		<-tick.C
	}
}

func (a *Agent) log() string {
	text, err := os.ReadFile(filepath.Join(a.dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// Client is a client of the agent with that token; "" for none. There is one for each token, since an agent takes 200
// connections from one address.
func (a *Agent) Client(token string) *api.Client {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.clients[token]; c != nil {
		return c
	}
	c, err := api.NewClient(&api.Config{Address: a.HTTP, Token: token})
	if err != nil {
		a.t.Fatal(err)
	}
	a.clients[token] = c
	return c
}

// Kill ends the agent at once, if it runs.
func (a *Agent) Kill() { a.signal(syscall.SIGKILL) }

func (a *Agent) signal(s syscall.Signal) {
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Signal(s) // it may have ended already
	<-a.ended
	a.cmd = nil
}

// Pause stops the agent as a machine that hangs.
func (a *Agent) Pause() { _ = a.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused agent go on.
func (a *Agent) Resume() { _ = a.cmd.Process.Signal(syscall.SIGCONT) }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts are ports that were free, for TCP and UDP, a moment ago. They are below the range from which the kernel takes
// ports for outgoing connections and for listeners on port 0, which other tests have many of.
func freePorts(t testing.TB, count int) []int {
	t.Helper()
	var out []int
	for tries := 0; len(out) < count; tries++ {
		if tries > 1000 {
			t.Fatal("there are not enough free ports")
		}
		port := 10240 + rand.IntN(20000)
		tcp, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		defer func() { _ = tcp.Close() }()
		udp, err := net.ListenPacket("udp", address(port))
		if err != nil {
			continue
		}
		defer func() { _ = udp.Close() }()
		out = append(out, port)
	}
	return out
}
