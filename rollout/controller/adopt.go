package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"viridian/registry"
	"viridian/rollout"
)

// adoptPause is how often instances are looked for that a generation awaits.
const adoptPause = time.Second

// adopt looks once for the instances that a generation is to take over. When exactly those are there, they are set;
// else what is missing is told, and they are looked for again.
func (t *tenure) adopt(e rollout.Environment, driver registry.Registry, number int, facts *rollout.Facts) error {
	g, _ := e.Generation(number)
	groups, missing, err := t.find(driver, g)
	if err == nil && missing == "" {
		if missing, err = t.setAdopted(e, number, groups); err == nil && missing == "" {
			return nil
		}
	}
	t.lookAgain()
	if err != nil {
		missing = err.Error()
	}
	if missing = rollout.Plain(missing); missing != "" && (missing != g.Reason || g.Waiting != rollout.Adopting) { // what is recorded asks for another pass
		facts.Adopting = append(facts.Adopting, rollout.AdoptionSeen{Generation: number, Detail: missing})
	}
	if err != nil {
		return fmt.Errorf("adopt generation %d: %w", number, err)
	}
	return nil
}

// find looks for the instances of every group that is adopted; missing says what keeps them from being complete.
func (t *tenure) find(driver registry.Registry, g rollout.Generation) (groups []rollout.Group, missing string, err error) {
	adopter, ok := driver.(registry.Adopter)
	if !ok {
		return nil, "the registry has no instances to adopt", nil
	}
	call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
	defer cancel()
	var lacks []string
	for _, service := range slices.Sorted(maps.Keys(g.Adopts)) {
		adoption := g.Adopts[service]
		found, err := adopter.Find(call, adoption, g.Digest())
		var wrong *registry.AdoptionError
		if errors.As(err, &wrong) {
			lacks = append(lacks, wrong.Detail)
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if len(found.Passing) != adoption.Expect {
			lacks = append(lacks, lacking(adoption, found))
		}
		groups = append(groups, rollout.Group{Service: service, Instances: found.Passing})
	}
	return groups, strings.Join(lacks, "; "), nil
}

// lacking says how what was found differs from what is expected.
func lacking(a rollout.Adoption, found registry.Found) string {
	const most = 3
	lack := fmt.Sprintf("%d of %d instances of %s are passing", len(found.Passing), a.Expect, a.Service)
	if found.Others > 0 {
		lack += fmt.Sprintf(", %d are not", found.Others)
	}
	if more := len(found.Passing) - a.Expect; more > 0 {
		lack += fmt.Sprintf(": %d too many; its filter matches others besides, or expect is too low", more)
	}
	texts := found.Wrong
	if more := len(texts) - most; more > 0 {
		texts = append(slices.Clone(texts[:most]), fmt.Sprintf("and %d more", more))
	}
	if len(texts) > 0 {
		lack += "; " + strings.Join(texts, ", ")
	}
	return lack
}

// setAdopted makes the instances those of the generation. Where they cannot be, missing says why.
func (t *tenure) setAdopted(e rollout.Environment, number int, groups []rollout.Group) (missing string, err error) {
	call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
	defer cancel()
	g, err := t.load(call, e, number)
	if err != nil {
		return "", err
	}
	for _, group := range g.Groups {
		if group.Consul == nil {
			groups = append(groups, group)
		}
	}
	if !t.alive() {
		return "", t.ctx.Err()
	}
	out, err := t.w.Store.Transact(call, Command{Environment: t.name}, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Adopt(rollout.AdoptCommand{Generation: number, Groups: groups}, now)
	})
	var refusal *rollout.Refusal
	if errors.As(err, &refusal) {
		return refusal.Detail, nil
	}
	if err == nil {
		t.w.Hub.Publish(out.Environment)
	}
	return "", err
}

// lookAgain asks for another pass, one at a time.
func (t *tenure) lookAgain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.looking {
		return
	}
	t.looking = true
	t.w.Clock.AfterFunc(adoptPause, func() {
		t.mu.Lock()
		t.looking = false
		t.mu.Unlock()
		t.w.lanes.run(t.ctx, t.name, nil)
	})
}
