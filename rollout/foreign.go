package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

var (
	switchKinds    = []SwitchKind{SwitchPromote, SwitchStep, SwitchRollback, SwitchAbort, SwitchManual, SwitchHeal, SwitchRecover}
	switchStatuses = []SwitchStatus{Committed, Applied, SwitchSuperseded}
)

// Foreign says what of the environment this program does not know; empty when it knows everything. A newer program
// wrote it, on the same database. What is not understood is left alone: nobody decides on it, and the lease is left to
// others. The route is plain all the same, and nodes follow it.
func (e Environment) Foreign() string {
	if e.Spec.Foreign != "" {
		return "the spec: " + e.Spec.Foreign
	}
	for _, g := range e.Generations {
		if _, known := GenerationMoves[g.State]; !known {
			return fmt.Sprintf("generation %d is %q", g.Number, g.State)
		}
	}
	if p := e.Promotion; p != nil {
		if _, known := PromotionMoves[p.State]; !known {
			return fmt.Sprintf("promotion %d is %q", p.ID, p.State)
		}
	}
	if s := e.Switch; s != nil && (!slices.Contains(switchKinds, s.Kind) || !slices.Contains(switchStatuses, s.Status)) {
		return fmt.Sprintf("switch %d is a %q, and is %q", s.Revision, s.Kind, s.Status)
	}
	return ""
}

// UnmarshalJSON reads a spec that was accepted before, by this program or another version of it. What this one would
// have to ignore is noted in Foreign, and is no error. Of a spec that it cannot read at all, only that is left.
func (s *Spec) UnmarshalJSON(raw []byte) error {
	type plain Spec
	kept := plain{}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	foreign := ""
	if err := strict.Decode(&kept); err != nil {
		foreign, kept = err.Error(), plain{}
		if json.Unmarshal(raw, &kept) != nil {
			kept = plain{}
		}
	}
	*s = Spec(kept)
	if foreign == "" {
		foreign = s.unbuilt()
	}
	s.Foreign = foreign
	return nil
}

// unbuilt names the first thing that the spec asks for and this program does not do; empty for nothing.
func (s *Spec) unbuilt() string {
	found := &specErrors{seen: map[string]bool{}}
	(&specValidator{specErrors: found}).validate(s)
	if len(found.unbuilt) == 0 {
		return ""
	}
	return found.unbuilt[0].Pointer + " " + found.unbuilt[0].Detail
}
