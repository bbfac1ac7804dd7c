package e2e

import "viridian/client"

// market is the model: what an environment is between two moments, by the rules of its commands. A generation that is
// validating becomes ready at a moment that nobody is told; so both are the one state "checked", until somebody sees.
type market struct {
	revision       int64
	live, previous int
	weights        shares
	states         [kinship + 1]client.GenerationState
	left           [kinship + 1]int64 // the revision that took the weight away
	// promoted is whose promotion is open, 0 for none. One that is not paused ends at a moment that nobody is told.
	promoted int
	paused   bool
	doubts   slots // those that may still happen
}

// slots is a set of numbers below maxDoubts.
type slots [maxDoubts / 64]uint64

func (s slots) has(slot int) bool { return s[slot/64]&(1<<(slot%64)) != 0 }
func (s *slots) put(slot int)     { s[slot/64] |= 1 << (slot % 64) }
func (s *slots) drop(slot int)    { s[slot/64] &^= 1 << (slot % 64) }

const checked client.GenerationState = "validating or ready"

// opened is a market at the begin of a history: generation 1 is live by the first switch, all others are ready.
func opened() market {
	m := market{revision: 1, live: 1}
	m.weights[1] = 100
	m.states[1] = client.GenerationStateLive
	for n := 2; n <= kinship; n++ {
		m.states[n] = client.GenerationStateReady
	}
	return m
}

// closed are the market as it is, and with the open promotion ended, where that can have come by itself.
func (m market) closed() []market {
	if m.promoted == 0 || m.paused || m.promoted != m.live {
		return []market{m}
	}
	ended := m
	ended.promoted = 0
	return []market{m, ended}
}

// step are the markets that there can be after the demand was replied to in this way.
func (m market) step(d demand, r reply) (out []market) {
	for _, sure := range m.seen(d.generation, d.partner) {
		after, own := sure.decide(d)
		switch {
		case passing(d, r) && r.revision == m.revision && (own.code == "" || own.code == r.code):
			out = append(out, sure.settled()) // health or a node stood in the way, of which the model knows nothing
		case r == own:
			out = append(out, after.settled())
		}
	}
	return out
}

// seen is the market with each of the generations that are validating or ready taken for the one and for the other.
func (m market) seen(generations ...int) []market {
	out := []market{m}
	for _, g := range generations {
		if m.states[g] != checked {
			continue
		}
		for i := range out {
			ready := out[i]
			ready.states[g] = client.GenerationStateReady
			out[i].states[g] = client.GenerationStateValidating
			out = append(out, ready)
		}
	}
	return out
}

// settled forgets that a generation was validating at one moment: it goes on by itself.
func (m market) settled() market {
	for n, state := range m.states {
		if state == client.GenerationStateValidating {
			m.states[n] = checked
		}
	}
	return m
}

// passing says whether a refusal can come from what the model does not know: health, and nodes that were restarted.
func passing(d demand, r reply) bool {
	if d.verb != doPromote && d.verb != doWeights && d.verb != doRollback {
		return false
	}
	switch r.code {
	case client.CodeNodeNotStaged, client.CodeCapacityTooLow, client.CodeRollbackTargetUnhealthy:
		return true
	case client.CodeGenerationNotReady:
		return r.state == ""
	}
	return false
}

// decide is what becomes of a demand, and what is told.
func (m market) decide(d demand) (market, reply) {
	if d.expected != 0 && d.expected != m.revision {
		return m, m.refuse(client.CodeRevisionMismatch)
	}
	switch d.verb {
	case doPromote:
		return m.promote(d)
	case doRollback:
		return m.rollback(d)
	case doWeights:
		return m.weigh(d)
	case doRetire:
		return m.retire(d)
	case doValidate:
		return m.validate(d)
	case doRoute:
		return m, reply{revision: m.revision, live: m.live, previous: m.previous, weights: m.weights}
	}
	return m, reply{state: m.states[d.generation]}
}

func (m market) refuse(code client.Code) reply { return reply{code: code, revision: m.revision} }

// notReady tells the state that a generation is in.
func (m market) notReady(n int) reply {
	return reply{code: client.CodeGenerationNotReady, state: m.states[n], revision: m.revision}
}

func (m market) promote(d demand) (market, reply) {
	g := d.generation
	own := m.promoted == g
	if g == m.live && m.weights[g] == 100 && (!own || !m.paused) {
		return m, m.told(false)
	}
	switch m.states[g] {
	case client.GenerationStateReady, client.GenerationStateLive, client.GenerationStateShifting:
	case client.GenerationStateStandby:
		return m, m.refuse(client.CodeConflict)
	default:
		return m, m.notReady(g)
	}
	if m.promoted != 0 && !own && !d.supersede {
		return m, m.refuse(client.CodePromotionInProgress)
	}
	unproven := m.promoted == m.live
	if m.promoted != 0 && !own {
		m = m.reject(m.promoted)
		m.promoted = 0
	}
	switch {
	case g == m.live:
	case unproven:
		m.states[m.live] = client.GenerationStateRejected
	default:
		m.states[m.live] = client.GenerationStateStandby
		m.previous = m.live
	}
	if g != m.live || m.promoted != 0 {
		m.promoted, m.paused = g, false
	}
	m.states[g], m.live = client.GenerationStateLive, g
	return m.flip(only(g))
}

// reject rejects a candidate that is not live.
func (m market) reject(candidate int) market {
	if candidate != 0 && candidate != m.live {
		m.states[candidate] = client.GenerationStateRejected
	}
	return m
}

func (m market) rollback(d demand) (market, reply) {
	candidate := m.promoted
	if candidate == m.live {
		candidate = 0
	}
	if d.generation != 0 && d.generation != candidate && m.weights[d.generation] == 0 {
		if m.left[d.generation] == 0 {
			return m, m.refuse(client.CodeConflict)
		}
		return m, reply{revision: m.left[d.generation]}
	}
	to := m.previous
	switch {
	case d.to != 0:
		to = d.to
	case d.generation == 0 && candidate != 0, d.generation != 0 && d.generation != m.live:
		to = m.live
	}
	switch {
	case to != 0 && to == m.live && candidate == 0 && m.weights[to] == 100:
		return m, m.told(false)
	case to == 0, m.states[to] != client.GenerationStateStandby && m.states[to] != client.GenerationStateLive:
		return m, m.refuse(client.CodeRollbackUnavailable)
	case to != m.live:
		m = m.reject(candidate)
		m.states[m.live], m.states[to] = client.GenerationStateRejected, client.GenerationStateLive
		m.live, m.previous, m.promoted = to, 0, 0
	case candidate != 0:
		m = m.reject(candidate)
		m.promoted = 0
	}
	return m.flip(only(to))
}

func (m market) weigh(d demand) (market, reply) {
	other, share := d.partner, 100-d.share
	switch m.live {
	case d.generation:
	case d.partner:
		other, share = d.generation, d.share
	default:
		return m, m.refuse(client.CodeInvalidRequest)
	}
	want := shares{}
	want[m.live], want[other] = uint8(100-share), uint8(share)
	if want == m.weights {
		return m, m.told(false)
	}
	switch m.states[other] {
	case client.GenerationStateReady, client.GenerationStateShifting, client.GenerationStateStandby:
	default:
		return m, m.notReady(other)
	}
	ready := m.states[other] == client.GenerationStateReady
	if m.promoted != 0 && m.promoted != other && (m.promoted != m.live || ready) {
		return m, m.refuse(client.CodePromotionInProgress)
	}
	switch {
	case m.promoted != 0:
		m.paused = true
	case ready:
		m.promoted, m.paused = other, true
	}
	if ready {
		m.states[other] = client.GenerationStateShifting
	}
	return m.flip(want)
}

func (m market) retire(d demand) (market, reply) {
	g := d.generation
	switch {
	case m.states[g] == client.GenerationStateRetiring:
		return m, reply{}
	case m.states[g] == client.GenerationStateLive, m.weights[g] > 0, m.states[g] == client.GenerationStateShifting:
		return m, m.refuse(client.CodeConflict)
	}
	if m.previous == g {
		m.previous = 0
	}
	m.states[g] = client.GenerationStateRetiring
	return m, reply{}
}

func (m market) validate(d demand) (market, reply) {
	switch g := d.generation; m.states[g] {
	case client.GenerationStateValidating, checked:
		return m, reply{}
	case client.GenerationStateReady, client.GenerationStateRejected:
		m.states[g] = checked
		return m, reply{}
	}
	return m, m.refuse(client.CodeConflict)
}

// flip is a new revision with those weights.
func (m market) flip(weights shares) (market, reply) {
	m.revision++
	for n := range weights {
		switch {
		case m.weights[n] > 0 && weights[n] == 0:
			m.left[n] = m.revision
		case weights[n] > 0:
			m.left[n] = 0
		}
	}
	m.weights = weights
	return m, m.told(true)
}

// told is the answer of the present switch, with its weights where it was made for the demand.
func (m market) told(changed bool) reply {
	if !changed {
		return reply{revision: m.revision}
	}
	return reply{revision: m.revision, changed: true, weights: m.weights}
}

func only(generation int) (out shares) {
	out[generation] = 100
	return out
}
