package haproxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// server is the state of one server, as "show servers state" tells it.
type server struct {
	name       string
	address    string // as HAProxy writes it
	port       int
	up         bool
	admin      int
	checkState int
	checked    bool // its health checks are switched on
	// What only a hand changes: its share, and where it is asked for its health.
	weight, initial int
	checkPort       int      // 0: that of the address
	checkAddress    string   // "-": the address
	fields          []string // of the line
}

// The bits of srv_admin_state (management guide, "show servers state").
const (
	adminMaint      = 0x01 // by a command
	adminConfigured = 0x04 // "disabled" in the configuration; says nothing once a command made the server ready
)

// The fields of a line of "show servers state", version 1.
const (
	fieldBackend = 1
	fieldName    = 3
	fieldAddress = 4
	fieldState   = 5
	fieldAdmin   = 6
	fieldWeight  = 7
	fieldInitial = 8
	fieldSince   = 9
	fieldCheck   = 13
	fieldPort    = 18
	fieldAskPort = 21
	fieldAskAddr = 22
	fieldCount   = 25

	checkEnabled = 0x04
	checkRunning = 0x01
)

// readServers reads the answer to "show servers state BACKEND", or a state file.
func readServers(backend, answer string) ([]server, error) {
	var out []server
	version := false
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "1" && !version:
			version = true
			continue
		case strings.HasPrefix(line, "#"):
			continue
		}
		fields := strings.Fields(line)
		if !version || len(fields) < fieldCount || fields[fieldBackend] != backend {
			return nil, fmt.Errorf("servers of backend %s: %.80q", backend, line)
		}
		numbers := make([]int, fieldCount)
		for _, i := range []int{fieldState, fieldAdmin, fieldWeight, fieldInitial, fieldCheck, fieldPort, fieldAskPort} {
			var err error
			if numbers[i], err = strconv.Atoi(fields[i]); err != nil {
				return nil, fmt.Errorf("servers of backend %s: %.80q", backend, line)
			}
		}
		out = append(out, server{name: fields[fieldName], address: fields[fieldAddress], port: numbers[fieldPort],
			up: numbers[fieldState] != 0, admin: numbers[fieldAdmin], checkState: numbers[fieldCheck],
			checked: numbers[fieldCheck]&checkEnabled != 0, weight: numbers[fieldWeight], initial: numbers[fieldInitial],
			checkPort: numbers[fieldAskPort], checkAddress: fields[fieldAskAddr], fields: fields})
	}
	if !version {
		return nil, fmt.Errorf("servers of backend %s: %.80q", backend, answer)
	}
	return out, nil
}

// idle says whether no command or configuration lets the server take requests.
func (s server) idle() bool { return s.admin&adminMaint != 0 }

// ready says whether the server takes its share of requests as soon as its checks pass.
func (s server) ready() bool {
	return s.admin&^adminConfigured == 0 && s.checked && s.weight == s.initial && !s.askedElsewhere()
}

// askedElsewhere says whether its health is asked for at another address than its own.
func (s server) askedElsewhere() bool {
	return (s.checkPort != 0 && s.checkPort != s.port) || (s.checkAddress != noAddress && s.checkAddress != s.address)
}

const noAddress = "-"

func (s server) at(target netip.AddrPort) bool {
	a, err := netip.ParseAddr(s.address)
	return err == nil && a.Unmap() == target.Addr() && s.port == int(target.Port())
}

// isNowhere says whether the server has the address that none was given.
func (s server) isNowhere() bool { return s.address == nowhere }

// where is the address as people read it.
func (s server) where() string {
	if a, err := netip.ParseAddr(s.address); err == nil {
		return netip.AddrPortFrom(a.Unmap(), uint16(s.port)).String()
	}
	return s.address
}
