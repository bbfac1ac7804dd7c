package rollout

import (
	"fmt"
	"slices"
	"time"
)

// WeightsCommand sets the shares of traffic by hand.
type WeightsCommand struct {
	Actor            Actor
	Weights          Weights
	Reason           string
	ExpectedRevision *int64
}

// SetWeights shares traffic between the live generation and one ready, shifting or standby generation. A ready one
// enters shifting with a paused promotion; a running promotion is paused. Promote or roll back to end it.
func (e Environment) SetWeights(cmd WeightsCommand, now time.Time) (Transition, error) {
	if err := e.expect(cmd.ExpectedRevision); err != nil {
		return Transition{}, err
	}
	if err := e.deletedRefusal(); err != nil {
		return Transition{}, err
	}
	other, err := e.weightsPartner(cmd.Weights)
	if err != nil {
		return Transition{}, err
	}
	if e.Lock != nil {
		return Transition{}, e.locked()
	}
	if sameWeights(cmd.Weights, e.Weights) {
		return Transition{After: e, Answer: Answer{Revision: e.Revision, Generation: e.Live}}, nil
	}
	if r := e.undividedRefusal(cmd.Weights); r != nil {
		return Transition{}, r
	}
	if other != 0 {
		g, err := e.target(other)
		if err != nil {
			return Transition{}, err
		}
		if err := e.partnerBlocks(g, cmd.Weights[other], now); err != nil {
			return Transition{}, err
		}
	}
	return e.setWeights(cmd, other, now), nil
}

// weightsPartner checks the shares and returns the generation beside the live one; 0 when there is none.
func (e Environment) weightsPartner(weights Weights) (int, error) {
	invalid := func(detail string) error {
		return &Refusal{Code: InvalidRequest, Detail: detail, Revision: e.Revision,
			Fixes:  []string{"give whole shares of 0 to 100 that sum to 100, for the live generation and at most one other"},
			Errors: []FieldError{{Pointer: "/weights", Detail: detail}}}
	}
	other := 0
	for n, share := range weights {
		switch {
		case share < 0 || share > 100:
			return 0, invalid(fmt.Sprintf("the share of generation %d is %d", n, share))
		case n == e.Live || share == 0:
		case other != 0:
			return 0, invalid("more than one generation beside the live one")
		default:
			other = n
		}
	}
	if weights.Sum() != 100 {
		return 0, invalid(fmt.Sprintf("the shares sum to %d", weights.Sum()))
	}
	if e.Live == 0 || weights[e.Live] == 0 {
		return 0, e.refuse(Conflict, "promote the generation, or roll back to it",
			"weights by hand never give everything to a generation that is not live")
	}
	return other, nil
}

// undividedRefusal names a router that could not follow the shares; nil when there is none.
func (e Environment) undividedRefusal(weights Weights) *Refusal {
	if len(weights.Numbers()) < 2 {
		return nil
	}
	for _, name := range e.Spec.Routers {
		if slices.Contains(e.Undivided, name) {
			return e.refuse(Conflict, "promote the generation, or leave the router out of the environment",
				"router %s gives all traffic to one generation and cannot share it", name)
		}
	}
	return nil
}

func (e Environment) partnerBlocks(g Generation, share int, now time.Time) error {
	switch g.State {
	case Ready, Shifting, Standby:
	default:
		return e.refuse(GenerationNotReady, "weights go to a ready, shifting or standby generation", "generation %d is %s", g.Number, g.State)
	}
	if p := e.Promotion; p != nil && p.Generation != g.Number && (p.Generation != e.Live || g.State == Ready) {
		return e.refuse(PromotionInProgress, "wait until it is over, or roll it back", "the promotion of generation %d is %s", p.Generation, p.State)
	}
	if share <= e.Weights[g.Number] {
		return nil // less for an ailing generation is never refused
	}
	if r := e.missingGroup(g); r != nil {
		return r
	}
	if ok, why := e.StagedEverywhere(g.Number, now); !ok {
		return e.refuse(NodeNotStaged, "wait for the node, or take it out", "generation %d is not staged everywhere: %s", g.Number, why)
	}
	if r := e.healthBlock(g, now); r != nil {
		return r
	}
	return nil
}

func (e Environment) setWeights(cmd WeightsCommand, other int, now time.Time) Transition {
	c := e.change(cmd.Actor, now)
	weights := weightsTo(e.Live, e.Weights)
	s := Switch{Kind: SwitchManual, From: e.Live, To: e.Live, Reason: cmd.Reason}
	if other != 0 {
		weights[e.Live], weights[other], s.To = cmd.Weights[e.Live], cmd.Weights[other], other
	}
	g, _ := c.e.Generation(other)
	switch p := e.Promotion; {
	case p != nil:
		paused := *p
		if paused.State != PromotionPaused {
			c.event(EventPromotionPaused, p.Generation, 0, map[string]any{"reason": "weights set by hand"})
		}
		paused.State, paused.Revision, s.Promotion = PromotionPaused, e.Revision+1, p.ID
		c.promotion(paused)
	case g.State == Ready:
		s.Promotion = c.begin(Promotion{Generation: other, From: e.Live, State: PromotionPaused, Reason: cmd.Reason})
	}
	if g.State == Ready {
		c.move(other, Shifting, reasonOr(cmd.Reason, "weights set by hand"))
	}
	c.switchTo(s, weights)
	return c.done(Answer{Revision: c.e.Revision, Changed: true, Generation: s.To})
}

func sameWeights(a, b Weights) bool {
	return Route{Weights: a}.Hash() == Route{Weights: b}.Hash()
}
