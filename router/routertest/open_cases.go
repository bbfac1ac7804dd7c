package routertest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"viridian/rollout"
	"viridian/router"
)

// opened is an answer or a connection that is under way on one generation.
type opened struct {
	kind string
	by   int // the generation that its backend tells
	// alive checks that it still works; release lets it end well, and returns whether it did.
	alive   func() error
	release func() bool
	close   func()
}

// open begins a long answer, an event stream and a WebSocket, and waits until the backend is at work on each.
func (r *rig) open() []opened {
	r.Helper()
	return []opened{r.openAnswer("/slow"), r.openAnswer("/sse"), r.openSocket()}
}

// client connects to the load balancer whatever the URL says.
func (r *rig) client() *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, r.Address)
	}}
	r.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *rig) openAnswer(path string) opened {
	r.Helper()
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	res, err := r.client().Do(req) //nolint:bodyclose // by close of what is returned
	if err != nil {
		r.Fatalf("open %s: %v", path, err)
	}
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "begun") {
		r.Fatalf("open %s: %q, %v", path, line, err)
	}
	by, err := identifyByHeader(res, nil)
	if err != nil {
		r.Fatalf("open %s: %v", path, err)
	}
	return opened{
		kind:  path,
		by:    by,
		alive: func() error { return nil }, // it shows at its end
		release: func() bool {
			r.backends[by].Release()
			rest, err := io.ReadAll(lines)
			return err == nil && strings.Contains(string(rest), "done")
		},
		close: func() { _ = res.Body.Close() },
	}
}

func (r *rig) openSocket() opened {
	r.Helper()
	c, res, err := websocket.Dial(r.ctx, "ws://"+host+"/ws", &websocket.DialOptions{HTTPClient: r.client()})
	if err != nil {
		r.Fatalf("open WebSocket: %v", err)
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	echo := func() error {
		ctx, cancel := context.WithTimeout(r.ctx, patience)
		defer cancel()
		if err := c.Write(ctx, websocket.MessageText, []byte("ping")); err != nil {
			return err
		}
		_, _, err := c.Read(ctx)
		return err
	}
	if err := echo(); err != nil {
		r.Fatalf("open WebSocket: %v", err)
	}
	return opened{kind: "/ws", alive: echo, close: func() { _ = c.CloseNow() },
		release: func() bool { return echo() == nil && c.Close(websocket.StatusNormalClosure, "") == nil }}
}

// carries skips a case about connections where the node has none.
func (r *rig) carries() {
	r.Helper()
	if r.Signpost {
		r.Skip("this router says where traffic goes, and carries none")
	}
}

func longRequestsSurviveFlip(r *rig) {
	r.carries()
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	under := r.open()
	for i := range 10 {
		r.apply(int64(i+2), all(1+(i+1)%2))
	}
	r.apply(12, all(2))
	r.serves(host, 2)
	for _, o := range under {
		if err := o.alive(); err != nil {
			r.Errorf("%s did not survive the flip: %v", o.kind, err)
		}
		if !o.release() {
			r.Errorf("%s did not end well after the flip", o.kind)
		}
		o.close()
	}
}

func drainEndsWhatIsOpen(r *rig) {
	r.carries()
	r.spec.Drain = rollout.Duration(500 * time.Millisecond)
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	under := r.open()
	r.apply(2, all(2))
	begun := time.Now()
	for _, o := range under {
		if err := o.alive(); err != nil && time.Since(begun) < 400*time.Millisecond {
			r.Errorf("%s was cut before its drain was over: %v", o.kind, err)
		}
	}
	r.eventually("the drain", func() bool { return r.openOn(1) == 0 })
	if took := time.Since(begun); took < 400*time.Millisecond {
		r.Errorf("the drain was over after %v", took)
	}
	for _, o := range under {
		if o.release() {
			r.Errorf("%s is open although its drain is over", o.kind)
		}
		o.close()
	}
	r.serves(host, 2)
	r.apply(3, all(1)) // what was cut may serve again
	r.serves(host, 1)
}

func rollbackStopsTheDrain(r *rig) {
	r.carries()
	r.spec.Drain = rollout.Duration(300 * time.Millisecond)
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	under := r.open()
	r.apply(2, all(2))
	r.apply(3, all(1))
	fresh := r.openAnswer("/slow")
	timer := time.NewTimer(2 * r.spec.Drain.Std())
	defer timer.Stop()
	<-timer.C // nothing to wait for: it must not happen
	for _, o := range append(under, fresh) {
		if err := o.alive(); err != nil {
			r.Errorf("%s was cut although the weight came back: %v", o.kind, err)
		}
		if !o.release() {
			r.Errorf("%s did not end well", o.kind)
		}
		o.close()
	}
}

// openOn is what the node tells of a generation without weight.
func (r *rig) openOn(generation int) int { return r.observe().InFlight[generation] }

func inFlightIsCounted(r *rig) {
	drainer, ok := r.Router.(router.Drainer)
	if !ok {
		r.Skip("this router does not count what is open")
	}
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	count := func() int {
		n, err := drainer.InFlight(r.ctx, "shop", 1)
		if err != nil {
			r.Fatal(err)
		}
		return n
	}
	r.eventually("nothing open", func() bool { return count() == 0 })
	under := r.open()
	if n := count(); n != len(under) {
		r.Errorf("%d open, want %d", n, len(under))
	}
	r.apply(2, all(2))
	if n := r.openOn(1); n != len(under) {
		r.Errorf("the observation tells of %d open, want %d", n, len(under))
	}
	for _, o := range under {
		o.release()
		o.close()
	}
	r.eventually("all closed", func() bool { return count() == 0 && r.openOn(1) == 0 })
}

func trafficIsMeasured(r *rig) {
	measurer, ok := r.Router.(router.Measurer)
	if !ok {
		r.Skip("this router does not measure")
	}
	r.stage(0, 1, 2)
	r.apply(1, rollout.Weights{1: 50, 2: 50})
	from := time.Now().Add(-time.Second)
	v := r.traffic(Load{KeepAlive: 2, Fresh: 1}, 300, func(*Traffic) {})
	requests, latency := map[int]int64{}, map[int]int64{}
	r.eventually("all counted", func() bool {
		clear(requests)
		clear(latency)
		buckets, err := measurer.Measure(r.ctx, "shop", from, time.Now().Add(time.Second))
		if err != nil {
			r.Fatal(err)
		}
		for _, b := range buckets {
			requests[b.Generation] += b.Requests
			for _, n := range b.Latency {
				latency[b.Generation] += n
			}
			if b.Errors != 0 || len(b.Latency) != len(router.LatencyBounds)+1 {
				r.Errorf("bucket %+v", b)
			}
		}
		return requests[1]+requests[2] >= int64(v.Requests)
	})
	for _, n := range []int{1, 2} {
		if requests[n] != int64(v.By[n]) || latency[n] != requests[n] {
			r.Errorf("generation %d: %d requests and %d latencies measured, want %d", n, requests[n], latency[n], v.By[n])
		}
	}
}

func deadInstanceIsPassedOver(r *rig) {
	r.carries()
	g, dead := r.generation(1), NewBackend(r, 1)
	g.Groups[0].Instances = append(g.Groups[0].Instances, dead.Instance("web-2"))
	if err := r.Router.Stage(r.ctx, router.Fence{}, r.route(0, nil), g); err != nil {
		r.Fatal(err)
	}
	r.apply(1, all(1))
	v := r.traffic(Load{KeepAlive: 2, Fresh: 2}, 200, func(*Traffic) {})
	if !v.Clean() {
		r.Errorf("both instances up: %v", v)
	}
	dead.Close()
	// A request that the dying instance was answering may be lost; from here on nothing may.
	v = r.traffic(Load{KeepAlive: 2, Fresh: 2}, 400, func(*Traffic) {})
	if !v.Clean() {
		r.Errorf("one instance down: %v", v)
	}
}
