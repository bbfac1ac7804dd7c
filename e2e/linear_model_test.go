package e2e

import (
	"fmt"
	"hash/maphash"

	"github.com/anishathalye/porcupine"
)

// book is how demands and replies may follow each other, each at one moment between its begin and its end. A demand of
// which nobody knows what came of it is in doubt: it may happen at any later moment, once, or never.
type book struct {
	doubts [maxDoubts]demand
	told   map[int64]bool // revisions that somebody was told to have made: none of them is of a demand in doubt
}

// markets is the model for a history.
func markets(history []porcupine.Operation) porcupine.Model {
	b := &book{told: map[int64]bool{}}
	for _, op := range history {
		d, r := op.Input.(demand), op.Output.(reply)
		if r.unknown {
			b.doubts[d.doubt] = d
		}
		if r.changed {
			b.told[r.revision] = true
		}
	}
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{opened()} },
		Step: func(before, in, out any) (after []any) {
			for _, m := range b.step(before.(market), in.(demand), out.(reply)) {
				after = append(after, m)
			}
			return after
		},
		Hash:              func(m any) uint64 { return maphash.Comparable(seed, m.(market)) },
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%v → %v", in, out) },
	}
	return model.ToModel()
}

var seed = maphash.MakeSeed()

// step are the markets that there can be after the demand was replied to in this way. What is in doubt is taken to have
// happened only where the reply cannot be without it: else it can as well happen later.
func (b *book) step(m market, d demand, r reply) (out []market) {
	if r.unknown {
		m.doubts.put(d.doubt)
		return []market{m}
	}
	seen := map[market]bool{}
	for level := m.closed(); len(level) > 0 && len(out) == 0; level = b.later(level, d, r, seen) {
		for _, before := range level {
			out = append(out, before.step(d, r)...)
		}
	}
	return out
}

// later are the markets after one more of the demands in doubt has happened, if that can matter for the reply.
func (b *book) later(level []market, d demand, r reply, seen map[market]bool) (out []market) {
	for _, m := range level {
		for slot := range maxDoubts {
			late := b.doubts[slot]
			if !m.doubts.has(slot) || !b.matters(m, late, d, r) {
				continue
			}
			for _, sure := range m.seen(late.generation, late.partner) {
				after, own := sure.decide(late)
				if after.doubts.drop(slot); own.code != "" || (late.flips() && after.revision == m.revision) {
					continue // it was refused, or changed nothing: then it can as well never happen
				}
				for _, next := range after.settled().closed() {
					if !seen[next] {
						seen[next] = true
						out = append(out, next)
					}
				}
			}
		}
	}
	return out
}

// matters says whether a demand in doubt can have led to the reply. A switch can, where its revision may be one that
// nobody was told of. What makes none can, if it is about what was asked for, or about what such a switch needs.
func (b *book) matters(m market, late, d demand, r reply) bool {
	room := !b.told[m.revision+1] && (!r.tellsNow() || m.revision < r.revision)
	if late.flips() {
		return room
	}
	if g := late.generation; g == d.generation || g == d.partner || g == d.to || g == m.previous {
		return true
	}
	for slot, other := range b.doubts {
		if room && m.doubts.has(slot) && other.flips() && (other.generation == late.generation || other.partner == late.generation || other.to == late.generation) {
			return true
		}
	}
	return false
}
