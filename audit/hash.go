package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"viridian/rollout"
)

// Event is an event with its place in its chain, from 1. Raw is the JSON text as it is stored and hashed.
type Event struct {
	rollout.Event
	Position int64
}

// Sum is the hash of an event: SHA-256, as lower-case hex, over these nine fields, one after the other: PrevHash (the
// hash of the event before it in its chain, as lower-case hex; empty for the first), Environment (empty for the chain
// of what belongs to none), Position, Kind, Actor, At, Revision, Generation, Raw. Each field is its length in bytes, as
// an unsigned 64-bit big-endian number, and then its bytes. Texts are UTF-8. Position, Revision and Generation are 8
// bytes, signed big-endian; At is such a number too: the microseconds since 1970-01-01T00:00:00Z.
//
// The id is not part of it, since it is given at the commit; in one chain ids grow with positions, which a [Walk] checks
// as well. The function event_hash of the schema is the same.
func (e Event) Sum() string {
	var text []byte
	for _, field := range [][]byte{[]byte(e.PrevHash), []byte(e.Environment), number(e.Position), []byte(e.Kind), []byte(e.Actor),
		number(e.At.UnixMicro()), number(e.Revision), number(int64(e.Generation)), e.Raw} {
		text = binary.BigEndian.AppendUint64(text, uint64(len(field)))
		text = append(text, field...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// Seal gives each event its position and hash, behind a chain of that length and head, and returns the new head. Raw is
// set already.
func Seal(events []Event, length int64, head string) string {
	for i := range events {
		e := &events[i]
		e.Position, e.PrevHash = length+int64(i)+1, head
		head = e.Sum()
		e.Hash = head
	}
	return head
}
