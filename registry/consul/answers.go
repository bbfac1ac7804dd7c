package consul

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/probe"
	"viridian/rollout"
)

type logger = *slog.Logger

// settle gathers answers that come together, such as the end of a host, into one transaction.
const settle = 20 * time.Millisecond

// answers is what the instances of one watch said, and what of it Consul was not told yet.
type answers struct {
	entries []entry
	news    chan struct{} // holds one signal: something is due to be told
	slots   chan struct{} // bounds the questions that are open at once

	mu      sync.Mutex
	state   []probe.State
	failure []string
	asked   []bool
	due     map[int]bool
	unasked int
	untold  int // of those asked, how many Consul was never told about
	told    []bool
}

func newAnswers(entries []entry) *answers {
	n := len(entries)
	return &answers{entries: entries, news: make(chan struct{}, 1), slots: make(chan struct{}, max(64, n/8)),
		state: make([]probe.State, n), failure: make([]string, n), asked: make([]bool, n), told: make([]bool, n),
		due: map[int]bool{}, unasked: n, untold: n}
}

// ask asks the instance of that place again and again until ctx ends.
func (a *answers) ask(ctx context.Context, clock clockwork.Clock, turn int) {
	e := a.entries[turn]
	question := func(ctx context.Context) error {
		select {
		case a.slots <- struct{}{}:
			defer func() { <-a.slots }()
			return probe.Ask(ctx, e.service.Health, e.instance.Address, e.instance.Port)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	probe.Repeat(ctx, clock, e.service.Health, question, probe.Spread, func(state probe.State, err error) { a.record(turn, state, err) })
}

func (a *answers) record(turn int, state probe.State, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked[turn] {
		a.asked[turn] = true
		a.unasked--
	}
	if err != nil {
		a.failure[turn] = err.Error()
	}
	if a.state[turn] == state && a.told[turn] {
		return
	}
	a.state[turn] = state
	a.due[turn] = true
	a.signal()
}

func (a *answers) signal() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// tellAll makes Consul be told of every instance again.
func (a *answers) tellAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for turn, asked := range a.asked {
		if asked {
			a.due[turn] = true
		}
	}
	a.signal()
}

// complete says whether every instance was asked at least once, and Consul told of it.
func (a *answers) complete() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unasked == 0 && a.untold == 0
}

// take collects what is due, as checks.
func (a *answers) take(g rollout.Generation) (turns []int, ops api.TxnOps) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for turn := range a.due {
		e := a.entries[turn]
		status, output := api.HealthCritical, notAsked
		switch a.state[turn] {
		case probe.Healthy:
			status, output = api.HealthPassing, "viridian: healthy"
		case probe.Unhealthy:
			output = a.said(turn)
		case probe.Unknown:
		}
		turns = append(turns, turn)
		ops = append(ops, &api.TxnOp{Check: &api.CheckTxnOp{Verb: api.CheckSet, Check: checkOf(g, e, status, output)}})
	}
	a.due = map[int]bool{}
	return turns, ops
}

// said is what an unhealthy instance answered; a.mu is held.
func (a *answers) said(turn int) string {
	in := a.entries[turn].instance
	return in.ID + " " + net.JoinHostPort(in.Address, strconv.Itoa(in.Port)) + ": " + a.failure[turn]
}

// settleTold notes whether Consul took what was taken.
func (a *answers) settleTold(turns []int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, turn := range turns {
		switch {
		case !ok:
			a.due[turn] = true
		case !a.told[turn]:
			a.told[turn] = true
			a.untold--
		}
	}
}

// tell writes answers to Consul until ctx ends. What it does not take is tried again.
func (w *watch) tell(ctx context.Context) {
	pause, failing := firstPause, spell{}
	for {
		select {
		case <-w.asked.news:
		case <-ctx.Done():
			return
		}
		w.r.pause(ctx, settle)
		turns, ops := w.asked.take(w.generation)
		if len(ops) == 0 {
			continue
		}
		err := w.r.write(ctx, ops)
		w.asked.settleTold(turns, err == nil)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			w.board.trouble(partWrite, nil)
			pause, failing = firstPause, spell{}
			continue
		}
		w.board.trouble(partWrite, failing.worthTelling(w.r.clock.Now(), err))
		w.log.Warn("checks could not be written to Consul", "error", err)
		w.r.pause(ctx, pause)
		pause = min(2*pause, lastPause)
		w.asked.signal()
	}
}
