package consul

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/probe"
	"viridian/rollout"
)

// digestPause is how often an instance is asked over HTTP what it runs.
const digestPause = 5 * time.Second

// digestTimeout bounds one such question.
const digestTimeout = 3 * time.Second

// digests is which artifact instances say that they run.
type digests struct {
	want string

	mu      sync.Mutex
	byPlace map[string]told
}

// told is what an instance said last.
type told struct {
	digest string
	err    error // it was asked, and has never told
}

// ask asks an instance again and again until ctx ends. What it said counts until it says something else.
func (d *digests) ask(ctx context.Context, clock clockwork.Clock, in rollout.Instance, path string) {
	for {
		call, cancel := context.WithTimeout(ctx, digestTimeout)
		text, err := probe.Read(call, in.Address, in.Port, path)
		cancel()
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		if old := d.byPlace[placeOf(in)]; err == nil {
			d.byPlace[placeOf(in)] = told{digest: digestIn(text)}
		} else if old.digest == "" {
			d.byPlace[placeOf(in)] = told{err: err}
		}
		d.mu.Unlock()
		timer := clock.NewTimer(digestPause)
		select {
		case <-timer.Chan():
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// digestIn finds the digest in an answer: the text, or the field digest of a JSON object.
func digestIn(text string) string {
	var object struct{ Digest string }
	if json.Unmarshal([]byte(text), &object) == nil && object.Digest != "" {
		return object.Digest
	}
	return text
}

// of says how what an instance tells differs from the generation's artifact; empty for not at all. Of one that was not
// asked yet nothing is known.
func (d *digests) of(a rollout.Adoption, in rollout.Instance, f *api.ServiceEntry) (says string, known bool) {
	switch {
	case a.DigestMeta != "":
		return d.differs(in, f.Service.Meta[a.DigestMeta]), true
	case a.DigestPath == "":
		return "", true
	}
	d.mu.Lock()
	told, asked := d.byPlace[placeOf(in)]
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
