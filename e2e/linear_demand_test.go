package e2e

import (
	"fmt"
	"strings"

	"viridian/client"
)

// kinship is how many generations a market has: as many as can be standby at once without that retention retires one,
// and the live one.
const kinship = 11

// demand is what a client of a market asks for.
type demand struct {
	verb       verb
	generation int // to promote, to leave (rollback), to retire, to validate, to give a share (weights), or to look at
	to         int // where a rollback goes, when that is said
	partner    int // in weights: who gets the rest
	share      int
	supersede  bool
	expected   int64 // revision; 0 when nothing is said
	doubt      int   // the slot of a demand in doubt
}

// verb is the kind of a demand.
type verb string

const (
	doPromote  verb = "promote"
	doRollback verb = "rollback"
	doWeights  verb = "weights"
	doRetire   verb = "retire"
	doValidate verb = "validate"
	doRoute    verb = "route"
	doLook     verb = "generation"
)

// maxDoubts is how many demands of a history may be in doubt.
const maxDoubts = 128

// reply is what a client was told. With unknown set it was told nothing that is for sure.
type reply struct {
	unknown  bool
	code     client.Code
	state    client.GenerationState // why a generation is not ready, or what it was seen as
	revision int64
	changed  bool
	live     int
	previous int
	weights  shares
}

// tellsNow says whether the revision in the reply was the present one, and not that of an earlier switch.
func (r reply) tellsNow() bool { return r.code != "" || r.changed || r.live != 0 }

// shares are the weights by generation.
type shares [kinship + 1]uint8

// flips says whether the demand is one for a switch.
func (d demand) flips() bool {
	return d.verb == doPromote || d.verb == doRollback || d.verb == doWeights
}

func (d demand) String() string {
	words := []string{string(d.verb), fmt.Sprint(d.generation)}
	if d.verb == doWeights {
		words = append(words, fmt.Sprintf("%d%%, %d the rest", d.share, d.partner))
	}
	if d.to != 0 {
		words = append(words, fmt.Sprintf("to %d", d.to))
	}
	if d.supersede {
		words = append(words, "supersede")
	}
	if d.expected != 0 {
		words = append(words, fmt.Sprintf("at %d", d.expected))
	}
	return strings.Join(words, " ")
}

func (r reply) String() string {
	switch {
	case r.unknown:
		return "in doubt"
	case r.code != "":
		return fmt.Sprintf("%s %s at %d", r.code, r.state, r.revision)
	case r.changed:
		return fmt.Sprintf("made %d: %v", r.revision, r.weights)
	case r.live != 0:
		return fmt.Sprintf("at %d: live %d, previous %d, %v", r.revision, r.live, r.previous, r.weights)
	}
	return fmt.Sprintf("%s %d", r.state, r.revision)
}
