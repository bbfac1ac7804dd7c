package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// hashed is what goes into the hash of an event.
type hashed struct {
	prevHash   string // of the event before it in its chain, lower-case hex; empty for the first
	chain      string // environment name; empty for the chain of what belongs to none
	position   int64  // in its chain, from 1
	kind       string
	actor      string
	at         time.Time
	revision   int64
	generation int64
	data       []byte // the JSON text as it is stored
}

// sum is the hash of an event: SHA-256, as lower-case hex, over the nine fields of hashed in their order, one after
// the other. Each field is its length in bytes, as an unsigned 64-bit big-endian number, and then its bytes. Texts are
// UTF-8. Numbers (position, revision, generation) are 8 bytes, signed big-endian; the time is such a number too: the
// microseconds since 1970-01-01T00:00:00Z. The id is not part of it, since it is given at the commit; in one chain
// ids grow with positions, which [Store.VerifyChain] checks as well.
func (h hashed) sum() string {
	var text []byte
	for _, field := range [][]byte{[]byte(h.prevHash), []byte(h.chain), number(h.position), []byte(h.kind), []byte(h.actor),
		number(h.at.UnixMicro()), number(h.revision), number(h.generation), h.data} {
		text = binary.BigEndian.AppendUint64(text, uint64(len(field)))
		text = append(text, field...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
