package cli

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestLastCall: whoever could connect is let in, whatever the moment of Close, and later ones find the port closed.
func TestLastCall(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the moment of closing has a gap here")
	}
	t.Parallel()
	inner, err := listen("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	l := lastCallOf(inner)
	var accepted, answered atomic.Int64
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("accept: %v", err)
				}
				return
			}
			accepted.Add(1)
			_, _ = c.Write([]byte{1})
			c.Close()
		}
	})
	enough := make(chan struct{})
	for range 8 {
		all.Go(func() {
			for {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("connect: %v", err)
					}
					return
				}
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Errorf("connected, and lost: %v", err)
				}
				c.Close()
				if answered.Add(1) == 2000 {
					close(enough)
				}
			}
		})
	}
	<-enough
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if accepted.Load() != answered.Load() {
		t.Fatalf("%d accepted, %d answered", accepted.Load(), answered.Load())
	}
}

func TestListen_SaysWhatToDo(t *testing.T) {
	t.Parallel()
	l, err := listen("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var f *failure
	if _, err = listen(l.Addr().String(), "--proxy-listen"); !errors.As(err, &f) || f.what != l.Addr().String()+" is in use by another program" {
		t.Fatalf("a taken port: %v", err)
	}
	if _, err = listen("192.0.2.1:0", "--listen"); !errors.As(err, &f) || f.what != "192.0.2.1:0 is not an address of this machine" {
		t.Fatalf("a foreign address: %v", err)
	}
}
