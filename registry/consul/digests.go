package consul

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/rollout"
)

// digestGrace bounds the wait for what members tell when they are asked first.
const digestGrace = time.Second

// digests is which artifact instances say that they run.
type digests struct {
	clock clockwork.Clock
	a     rollout.Adoption
	want  string
	news  chan struct{} // holds one signal: something was told

	asking sync.WaitGroup
	open   map[string]*question // by where they go to; of the one who calls ask

	mu   sync.Mutex
	told map[string]told // likewise
}

// told is what an instance said last.
type told struct {
	digest string
	err    error // it was asked, and has never told
}

func newDigests(clock clockwork.Clock, a rollout.Adoption, want string) *digests {
	return &digests{clock: clock, a: a, want: want, news: make(chan struct{}, 1), open: map[string]*question{}, told: map[string]told{}}
}

// target names an instance at an address: a newcomer at another one has yet to tell what it runs.
func target(in rollout.Instance) string {
	return placeOf(in) + "\x00" + net.JoinHostPort(in.Address, strconv.Itoa(in.Port))
}

// runs says whether the instance told last that it runs what it should.
func (d *digests) runs(at string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	told, asked := d.told[at]
	return asked && told.err == nil && told.digest == d.want
}

// record takes an answer, unless ctx has ended. What an instance said counts until it says something else.
func (d *digests) record(ctx context.Context, at, digest string, err error) (pause time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return 0, false
	}
	old, asked := d.told[at]
	pause = digestPause
	switch {
	case err == nil:
		d.told[at] = told{digest: digest}
	case !asked || old.err != nil:
		d.told[at] = told{err: err}
		pause = digestRetry
	}
	select {
	case d.news <- struct{}{}:
	default:
	}
	return pause, true
}

// await waits for a moment until all of these were asked, so that a watch that begins anew does not take them for
// instances of which nothing is known.
func (d *digests) await(ctx context.Context, these []rollout.Instance) {
	if d.a.DigestPath == "" {
		return
	}
	timer := d.clock.NewTimer(digestGrace)
	defer timer.Stop()
	for _, in := range these {
		for !d.wasAsked(target(in)) {
			select {
			case <-d.news:
			case <-timer.Chan():
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

func (d *digests) wasAsked(at string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, asked := d.told[at]
	return asked
}

// digestIn finds the digest in an answer: the text, or the field digest of a JSON object.
func digestIn(text string) string {
	var object struct{ Digest string }
	if json.Unmarshal([]byte(text), &object) == nil {
		return cmp.Or(object.Digest, text)
	}
	return text
}

// of says how what an instance tells differs from the generation's artifact; empty for not at all. Of one that was not
// asked yet nothing is known.
func (d *digests) of(in rollout.Instance, f *api.ServiceEntry) (says string, known bool) {
	switch {
	case d.a.DigestMeta != "":
		return d.differs(in, f.Service.Meta[d.a.DigestMeta]), true
	case d.a.DigestPath == "":
		return "", true
	}
	d.mu.Lock()
	told, asked := d.told[target(in)]
	d.mu.Unlock()
	if told.err != nil {
		return in.ID + " does not tell what it runs: " + told.err.Error(), true
	}
	if !asked {
		return "", false
	}
	return d.differs(in, told.digest), true
}

func (d *digests) differs(in rollout.Instance, digest string) string {
	switch digest {
	case d.want:
		return ""
	case "":
		return in.ID + " does not tell what it runs"
	}
	return in.ID + " runs " + digest[:min(len(digest), 100)]
}
