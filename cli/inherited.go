package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// The names of what a process is started with: sockets of systemd by FileDescriptorName=, and what a predecessor
// passes on.
const (
	socketAPI     = "api"
	socketProxy   = "proxy"
	socketControl = "control"
)

// handoverEnv tells a process which sockets its predecessor passes on, from descriptor 3 on.
const handoverEnv = "VIRIDIAN_HANDOVER"

// handover is the value of handoverEnv.
type handover struct {
	PID     int             `json:"pid"`     // of the predecessor
	Systemd bool            `json:"systemd"` // the listeners came from systemd at first
	Sockets []handoverEntry `json:"sockets"`
	// Unreadable counts the state files that the predecessor could not read.
	Unreadable int `json:"unreadable"`
}

type handoverEntry struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"` // as configured
}

// inherited is what was open before this process began.
type inherited struct {
	listeners   map[string]inheritedListener
	systemd     bool // systemd holds the listeners too, and keeps them when this process ends
	predecessor *predecessor
	unreadable  int // state files that the predecessor could not read either
}

type inheritedListener struct {
	net.Listener
	address string // as the predecessor was configured; empty: systemd decides
}

// inherit takes over what systemd (LISTEN_FDS) or a predecessor has passed on, and clears the variables that tell of it.
func inherit() (*inherited, error) {
	text, ok := os.LookupEnv(handoverEnv)
	if !ok {
		return fromSystemd(activation.Files(true))
	}
	if err := os.Unsetenv(handoverEnv); err != nil {
		return nil, err
	}
	var h handover
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, fmt.Errorf("%s is not what a predecessor writes: %w", handoverEnv, err)
	}
	in := &inherited{listeners: map[string]inheritedListener{}, systemd: h.Systemd, unreadable: h.Unreadable}
	for i, entry := range h.Sockets {
		fd := 3 + i
		unix.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), entry.Name)
		if entry.Name == socketControl {
			control, err := net.FileConn(file)
			if err := errors.Join(err, file.Close()); err != nil {
				return nil, err
			}
			in.predecessor = newPredecessor(h.PID, control)
			continue
		}
		if err := in.add(file, entry); err != nil {
			return nil, err
		}
	}
	if in.predecessor == nil {
		return nil, fmt.Errorf("%s names no socket %s", handoverEnv, socketControl)
	}
	return in, nil
}

func fromSystemd(files []*os.File) (*inherited, error) {
	in := &inherited{listeners: map[string]inheritedListener{}, systemd: len(files) > 0}
	for _, file := range files {
		if name := file.Name(); name != socketAPI && name != socketProxy {
			return nil, &failure{what: fmt.Sprintf("systemd passed on a socket with the name %q", name),
				fix: fmt.Sprintf("write FileDescriptorName=%s or FileDescriptorName=%s into its .socket unit", socketAPI, socketProxy)}
		}
		if err := in.add(file, handoverEntry{Name: file.Name()}); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// add makes a listener of the file, which it closes.
func (in *inherited) add(file *os.File, entry handoverEntry) error {
	l, err := net.FileListener(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("the socket %s that was passed on: %w", entry.Name, err)
	}
	if _, twice := in.listeners[entry.Name]; twice {
		return &failure{what: "two sockets with the name " + entry.Name + " were passed on", fix: "pass on one of each name"}
	}
	in.listeners[entry.Name] = inheritedListener{l, entry.Address}
	return nil
}

// listen returns the listener of that name that was passed on, or opens one. One that a predecessor had at another
// address is closed: the configuration has changed.
func (in *inherited) listen(name, address, setting string) (net.Listener, error) {
	passed, ok := in.listeners[name]
	delete(in.listeners, name)
	switch {
	case ok && (passed.address == "" || passed.address == address):
		return passed.Listener, nil
	case ok:
		passed.Close()
	}
	return listen(address, setting)
}

// shared says whether another process has the listeners too.
func (in *inherited) shared() bool { return in.systemd || !in.predecessor.gone() }

// close gives up what nobody has asked for.
func (in *inherited) close() {
	for _, l := range in.listeners {
		l.Close()
	}
	if in.predecessor != nil {
		in.predecessor.close()
	}
}
