package routertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// GenerationHeader is set by [Backend] in every answer.
const GenerationHeader = "Generation"

// SlowPath is where [Backend] takes its time over the body.
const SlowPath = "/drip"

// answerTimeout is how long one request may take before it counts as failed.
const answerTimeout = 30 * time.Second

// Load is steady traffic of GET requests. Its clients speak HTTP/1.1 over connections of their own and never repeat a
// request, so that nothing a load balancer does wrong is hidden.
type Load struct {
	Address string // host:port to connect to
	Host    string
	Path    string // "/" when empty
	// SlowEvery has each client ask for SlowPath in place of Path every so many requests; 0 for never.
	SlowEvery int
	KeepAlive int // clients that send one request after the other on one connection
	Fresh     int // clients that make a connection for each request
	// Identify tells which generation answered; nil takes GenerationHeader. Only answers of status 200 are asked.
	Identify func(res *http.Response, body []byte) (int, error)
}

// Answer is one request and what became of it. Times are taken just before the connection or the request is begun and
// just after the last byte is read.
type Answer struct {
	Start, End time.Time
	Generation int
	Err        error // also for a status other than 200
}

// Traffic is a Load under way.
type Traffic struct {
	load    Load
	stop    atomic.Bool
	count   atomic.Int64
	clients sync.WaitGroup
	answers [][]Answer // by client
}

// Start begins the traffic. The caller ends it with [Traffic.Stop].
func (l Load) Start() *Traffic {
	if l.Identify == nil {
		l.Identify = identifyByHeader
	}
	t := &Traffic{load: l, answers: make([][]Answer, l.KeepAlive+l.Fresh)}
	for i := range t.answers {
		t.clients.Go(func() { t.answers[i] = t.client(i < l.KeepAlive) })
	}
	return t
}

// Count is how many requests have ended so far.
func (t *Traffic) Count() int { return int(t.count.Load()) }

// Stop lets the requests under way end and returns all answers.
func (t *Traffic) Stop() []Answer {
	t.stop.Store(true)
	t.clients.Wait()
	var all []Answer
	for _, a := range t.answers {
		all = append(all, a...)
	}
	return all
}

// client sends requests until the traffic is stopped.
func (t *Traffic) client(keepAlive bool) []Answer {
	var out []Answer
	c := &connection{load: t.load, keepAlive: keepAlive}
	defer c.close()
	for n := 1; !t.stop.Load(); n++ {
		c.load.Path = t.load.Path
		if t.load.SlowEvery > 0 && n%t.load.SlowEvery == 0 {
			c.load.Path = SlowPath
		}
		a := Answer{Start: time.Now()}
		a.Generation, a.Err = c.ask()
		a.End = time.Now()
		out = append(out, a)
		t.count.Add(1)
	}
	return out
}

// connection is one client's connection to the load balancer, made when it is needed.
type connection struct {
	load      Load
	keepAlive bool
	conn      net.Conn
	reader    *bufio.Reader
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// ask sends one request and reads its answer to the end.
func (c *connection) ask() (int, error) {
	if c.conn == nil {
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.load.Address)
		if err != nil {
			return 0, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	generation, last, err := c.exchange()
	if err != nil || last || !c.keepAlive {
		c.close()
	}
	return generation, err
}

func (c *connection) exchange() (generation int, last bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, true, err
	}
	path, option := c.load.Path, ""
	if path == "" {
		path = "/"
	}
	if !c.keepAlive {
		option = "Connection: close\r\n"
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, c.load.Host, option); err != nil {
		return 0, true, err
	}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return 0, true, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return 0, true, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, res.Close, fmt.Errorf("status %d: %.80q", res.StatusCode, body)
	}
	generation, err = c.load.Identify(res, body)
	return generation, res.Close, err
}

func identifyByHeader(res *http.Response, _ []byte) (int, error) {
	n, err := strconv.Atoi(res.Header.Get(GenerationHeader))
	if err != nil {
		return 0, fmt.Errorf("the answer names no generation: %w", err)
	}
	return n, nil
}
