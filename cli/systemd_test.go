package cli_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd is what systemd is for a service: it holds the sockets, and is told how the service is.
type systemd struct {
	*testing.T
	files  []*os.File
	addrs  []string
	notify *net.UnixConn
	socket string
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	s := &systemd{T: t}
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		s.files, s.addrs = append(s.files, file), append(s.addrs, l.Addr().String())
		l.Close() // the file goes on
		t.Cleanup(func() { _ = file.Close() })
	}
	dir, err := os.MkdirTemp("", "viridian-notify-") // a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.socket = filepath.Join(dir, "s")
	if s.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.notify.Close() })
	return s
}

// start runs serve with the sockets, by these names.
func (s *systemd) start(folder, names string) *process {
	s.Helper()
	path, err := binary()
	if err != nil {
		s.Fatal(err)
	}
	env := []string{"VIRIDIAN_DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "VIRIDIAN_STATE_DIR=" + folder,
		"LISTEN_FDS=2", "LISTEN_FDNAMES=" + names, "NOTIFY_SOCKET=" + s.socket}
	// LISTEN_PID is the id of the process itself, which its parent does not know yet.
	p := prepare(s.T, "/bin/sh", env, "-c", `export LISTEN_PID=$$; exec "$0" "$@"`, path, "serve", "--node-name", "n1",
		"--shutdown-delay", "0s", "--proxy-listen", "127.0.0.1:1", "--listen", "127.0.0.1:1")
	p.cmd.ExtraFiles = s.files
	p.launch()
	return p
}

// told is what the service says next.
func (s *systemd) told() string {
	s.Helper()
	if err := s.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.Fatal(err)
	}
	buffer := make([]byte, 1000)
	n, err := s.notify.Read(buffer)
	if err != nil {
		s.Fatal(err)
	}
	return string(buffer[:n])
}

// TestServe_Systemd: sockets that systemd holds outlive the service, so that a restart refuses nobody.
func TestServe_Systemd(t *testing.T) {
	t.Parallel()
	s, folder := newSystemd(t), t.TempDir()
	p := s.start(folder, "api:proxy")
	p.await(`msg="the API is served" address=` + s.addrs[0])
	p.await(`msg="traffic is served" address=` + s.addrs[1])
	if got := s.told(); got != "READY=1" {
		t.Errorf("told %q", got)
	}
	p.signal(syscall.SIGTERM)
	if got := s.told(); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	// Nobody serves, and nobody is refused.
	answers := make(chan string, 4)
	for i := range cap(answers) {
		go func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
			answer, err := client.Get("http://" + s.addrs[i%2] + []string{"/livez", "/"}[i%2])
			if err != nil {
				answers <- err.Error()
				return
			}
			answer.Body.Close()
			answers <- fmt.Sprint(answer.StatusCode)
		}()
	}
	again := s.start(folder, "api:proxy")
	for range cap(answers) {
		if got := <-answers; got != "200" && got != "421" { // the proxy knows no host
			t.Errorf("a request between two runs: %s", got)
		}
	}
	again.signal(syscall.SIGTERM)
	again.exit()
}

// TestServe_SystemdUpgrade: the new process becomes the service's main one.
func TestServe_SystemdUpgrade(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	postgres := newPostgres(t)
	s, folder := newSystemd(t), t.TempDir()
	path, _ := binary()
	env := []string{"VIRIDIAN_DATABASE_URL=" + postgres.URL(database), "VIRIDIAN_STATE_DIR=" + folder,
		"LISTEN_FDS=2", "LISTEN_FDNAMES=api:proxy", "NOTIFY_SOCKET=" + s.socket}
	p := prepare(t, "/bin/sh", env, "-c", `export LISTEN_PID=$$; exec "$0" "$@"`, path, "serve", "--node-name", "n1", "--shutdown-delay", "0s")
	p.cmd.ExtraFiles = s.files
	p.launchWithHeirs()
	u := &upgrading{process: p, folder: folder}
	s.told()
	p.await(`msg="the database is ready"`)
	u.upgrade()
	var next string
	for next == "" { // both processes speak, in whatever order
		next, _ = strings.CutPrefix(s.told(), "MAINPID=")
		if next == "READY=1" {
			next = ""
		}
	}
	if first := p.cmd.Process.Pid; next != fmt.Sprint(u.pid()) || u.pid() == first {
		t.Errorf("systemd was told that %s serves; the folder belongs to %d, which was %d", next, u.pid(), first)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	c := newCaller(t, "http://"+s.addrs[0], "", "")
	_ = syscall.Kill(u.pid(), syscall.SIGTERM)
	eventually(t, "the second process ends", func() bool { text, _ := p.out.now(); return strings.Count(text, "msg=ended") == 2 })
	// The sockets came from systemd first, and the second process left them open too.
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.api, "http://"))
	if err != nil {
		t.Fatalf("after the last process the socket is closed: %v", err)
	}
	conn.Close()
}

func TestServe_SystemdNames(t *testing.T) {
	t.Parallel()
	p := newSystemd(t).start(t.TempDir(), "viridian.socket:proxy")
	if code := p.exit(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.await(`systemd passed on a socket with the name "viridian.socket"\n  fix: write FileDescriptorName=api`)
}

// TestSystemdUnits holds the example units against what serve asks of them.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	for file, wants := range map[string][]string{
		"viridian.service":      {"Type=notify\n", "viridian serve --config ", "SIGUSR2", "ExecReload=/bin/kill -HUP $MAINPID\n", "Requires=viridian-api.socket viridian-proxy.socket\n"},
		"viridian-api.socket":   {"FileDescriptorName=api\n", "Service=viridian.service\n"},
		"viridian-proxy.socket": {"FileDescriptorName=proxy\n", "Service=viridian.service\n"},
	} {
		text, err := os.ReadFile(filepath.Join("..", "scripts", "systemd", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not say %q", file, want)
			}
		}
	}
}
