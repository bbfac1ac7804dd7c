package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// cutAt says where a connection is broken at a COMMIT.
type cutAt int

const (
	cutBefore   cutAt = iota // the server never hears of it
	cutInside                // half of the message arrives
	cutAfter                 // it arrives, and the connection is gone at once
	cutAnswered              // the server has answered, and nobody hears it
	cutKinds
)

// cutter stands between the program and Postgres, reads what the program says, and breaks connections at a COMMIT.
type cutter struct {
	server string // path of the socket
	url    string // through the cutter
	listen net.Listener

	mu      sync.Mutex
	random  *rand.Rand
	left    int // cuts to come
	commits int
	cuts    [cutKinds]int
}

// newCutter makes a cutter in front of the database, which cuts nothing yet.
func newCutter(t testing.TB, database string, seed uint64) *cutter {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{server: filepath.Join(config.Host, ".s.PGSQL."+strconv.Itoa(int(config.Port))), listen: l,
		url:    fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", config.User, l.Addr(), config.Database),
		random: rand.New(rand.NewPCG(seed, 7))}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return c
}

// arm has a third of the commits cut from now on, so many times in all.
func (c *cutter) arm(cuts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.commits = cuts, 0
}

// counted are the commits so far, and how many were cut, by where.
func (c *cutter) counted() (commits int, cuts [cutKinds]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commits, c.cuts
}

// decide counts a COMMIT and says whether and where it is cut.
func (c *cutter) decide() (cutAt, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits++
	if c.left == 0 || c.random.IntN(3) > 0 {
		return 0, false
	}
	c.left--
	at := cutAt(c.random.IntN(int(cutKinds)))
	c.cuts[at]++
	return at, true
}

func (c *cutter) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left == 0
}

// wire is one connection through the cutter.
type wire struct {
	*cutter
	client, server net.Conn
	statements     map[string]bool // by name: is it a COMMIT

	mu       sync.Mutex
	deaf     bool          // what the server says goes nowhere
	answered chan struct{} // closed by the first answer since then
}

func (c *cutter) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", c.server)
	if err != nil {
		return
	}
	w := &wire{cutter: c, client: client, server: server, statements: map[string]bool{}, answered: make(chan struct{})}
	var back sync.WaitGroup
	back.Go(w.backward)
	w.forward()
	_ = server.Close()
	_ = client.Close()
	back.Wait()
}

// backward passes on what the server says.
func (w *wire) backward() {
	defer func() { _ = w.client.Close() }()
	buffer := make([]byte, 1<<16)
	for told := false; ; {
		n, err := w.server.Read(buffer)
		w.mu.Lock()
		deaf := w.deaf
		w.mu.Unlock()
		if deaf && !told {
			close(w.answered)
			told = true
		}
		if err != nil {
			return
		}
		if !deaf {
			if _, err := w.client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
}

// forward passes on what the program says, message by message, until one is to be cut.
func (w *wire) forward() {
	from := bufio.NewReaderSize(w.client, 1<<16)
	if begin, err := message(from, 0); err != nil || !w.send(begin) { // the first one has no type
		return
	}
	var at cutAt
	cutting := false
	for {
		m, err := message(from, 1)
		if err != nil {
			return
		}
		if w.isCommit(m) && !cutting {
			if at, cutting = w.decide(); cutting && at == cutBefore {
				return
			}
		}
		runs := m[0] == 'E' || m[0] == 'Q'
		switch {
		case cutting && runs && at == cutInside:
			w.send(m[:len(m)/2])
			return
		case cutting && runs && at == cutAnswered:
			w.mu.Lock()
			w.deaf = true
			w.mu.Unlock()
		}
		if !w.send(m) {
			return
		}
		if cutting && (m[0] == 'S' || m[0] == 'Q') {
			if at == cutAnswered {
				<-w.answered
			}
			return
		}
	}
}

func (w *wire) send(m []byte) bool {
	_, err := w.server.Write(m)
	return err == nil
}

// isCommit says whether the message runs a COMMIT: a simple query, or the binding of a statement that was parsed before.
func (w *wire) isCommit(m []byte) bool {
	body := m[5:]
	switch m[0] {
	case 'Q':
		text, _ := cString(body)
		return commits(text)
	case 'P':
		name, rest := cString(body)
		text, _ := cString(rest)
		w.statements[name] = commits(text)
	case 'B':
		_, rest := cString(body)
		name, _ := cString(rest)
		return w.statements[name]
	}
	return false
}

func commits(statement string) bool {
	return strings.EqualFold(strings.TrimSpace(strings.TrimRight(statement, "; ")), "commit")
}

// cString reads a text that ends with a zero.
func cString(b []byte) (text string, rest []byte) {
	before, after, _ := strings.Cut(string(b), "\x00")
	return before, []byte(after)
}

// message reads one message of the protocol, whose length stands behind a head of so many bytes and counts itself.
func message(from io.Reader, head int) ([]byte, error) {
	begin := make([]byte, head+4)
	if _, err := io.ReadFull(from, begin); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(begin[head:]))
	if length < 4 || length > 1<<28 {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	m := make([]byte, head+length)
	copy(m, begin)
	_, err := io.ReadFull(from, m[head+4:])
	return m, err
}
