package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	connections = 64
	body        = "generation 1\n"
	answer      = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n" + body
	question    = "GET / HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
)

// volley asks the load to send requests to a proxy, over keep-alive connections one at a time, for a while. What
// happens in the time of Warm before it does not count.
type volley struct {
	Address   string
	Warm, For time.Duration
}

// volleyResult is what came of it.
type volleyResult struct {
	Requests  int // that count
	Sent      int // with those that do not
	P50, P99  time.Duration
	Busy      float64       // of the load's one core; near 1, the load and not the proxy is what was measured
	Processor time.Duration // of the proxy, for everything that was sent
	Error     string
}

// playLoad is the backend and the clients. Both do as little as they can.
func playLoad(ctx context.Context, _ task, in *json.Decoder, out *json.Encoder) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go serveBackend(l)
	if err := greet(out, l.Addr().String()); err != nil {
		return err
	}
	for {
		var v volley
		if err := in.Decode(&v); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(v.fire(ctx)); err != nil {
			return err
		}
	}
}

func serveBackend(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for r := bufio.NewReader(c); ; {
				if _, err := readHead(r); err != nil {
					return
				}
				if _, err := io.WriteString(c, answer); err != nil {
					return
				}
			}
		}()
	}
}

// readHead reads to the end of a head and returns its Content-Length.
func readHead(r *bufio.Reader) (length int, err error) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			return length, nil
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
}

func (v volley) fire(ctx context.Context) volleyResult {
	begin := time.Now().Add(v.Warm)
	end := begin.Add(v.For)
	used := make(chan time.Duration, 1)
	atBegin := time.AfterFunc(v.Warm, func() { used <- ownTime() })
	defer atBegin.Stop()
	took, sent := make([][]time.Duration, connections), make([]int, connections)
	errs := make([]error, connections)
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() { took[i], sent[i], errs[i] = shoot(ctx, v.Address, begin, end) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return volleyResult{Error: err.Error()}
	}
	counted := slices.Concat(took...)
	slices.Sort(counted)
	total := 0
	for _, n := range sent {
		total += n
	}
	return volleyResult{Requests: len(counted), Sent: total, P50: percentile(counted, 50), P99: percentile(counted, 99),
		Busy: (ownTime() - <-used).Seconds() / time.Since(begin).Seconds()}
}

// shoot is one client. It returns how long each request took that began and ended between begin and end, and how many
// it sent in all.
func shoot(ctx context.Context, address string, begin, end time.Time) (took []time.Duration, sent int, err error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, sent, err
	}
	defer c.Close()
	if err := c.SetDeadline(end.Add(10 * time.Second)); err != nil {
		return nil, sent, err
	}
	r := bufio.NewReader(c)
	for start := time.Now(); start.Before(end); {
		if _, err := io.WriteString(c, question); err != nil {
			return nil, sent, err
		}
		if err := readAnswer(r); err != nil {
			return nil, sent, err
		}
		done := time.Now()
		if !start.Before(begin) && !done.After(end) {
			took = append(took, done.Sub(start))
		}
		start = done
		sent++
	}
	return took, sent, nil
}

func readAnswer(r *bufio.Reader) error {
	status, err := r.Peek(len("HTTP/1.1 200"))
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(status, []byte(" 200")) {
		return fmt.Errorf("answered with %q", status)
	}
	length, err := readHead(r)
	if err != nil {
		return err
	}
	if length != len(body) {
		return fmt.Errorf("a body of %d bytes, not %d", length, len(body))
	}
	_, err = r.Discard(length)
	return err
}

// ownTime is the processor time that this process has used.
func ownTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
