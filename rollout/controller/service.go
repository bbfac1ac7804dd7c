package controller

import (
	"context"
	"maps"
	"slices"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
)

// Service is the use cases behind the API, named as its operations are. Each decides and commits in one transaction,
// then wakes the loops; none of them touches a router or a registry. Refusals are *rollout.Refusal.
type Service struct {
	Options
}

// NewService makes the use cases of a replica.
func NewService(o Options) *Service { return &Service{Options: o} }

// transact commits on its own deadline: a caller that goes away does not cut a transaction in half.
func (s *Service) transact(ctx context.Context, cmd Command, decide Decision) (Outcome, error) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.CallTimeout)
	defer cancel()
	out, err := s.Store.Transact(call, cmd, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		if err := refuseForeign(e); err != nil {
			return rollout.Transition{}, err
		}
		return decide(e, now)
	})
	if err == nil && !out.Replayed {
		s.Hub.Publish(out.Environment)
	}
	return out, err
}

// CreateEnvironment makes a new environment, or takes up the name of a deleted one.
func (s *Service) CreateEnvironment(ctx context.Context, cmd rollout.PutCommand, key *IdempotencyKey) (Outcome, error) {
	if err := s.has(cmd.Spec); err != nil {
		return Outcome{}, err
	}
	return s.transact(ctx, Command{Environment: cmd.Name, Create: true, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Create(cmd, now) })
}

// has refuses a specification that names what the installation does not have.
func (s *Service) has(spec rollout.Spec) error {
	if err := spec.CheckRouters(s.Routers()); err != nil {
		return err
	}
	return spec.CheckRegistry(slices.Collect(maps.Keys(s.Registries)))
}

// PutEnvironment replaces the spec of an environment, or creates it.
func (s *Service) PutEnvironment(ctx context.Context, cmd rollout.PutCommand, key *IdempotencyKey) (Outcome, error) {
	if err := s.has(cmd.Spec); err != nil {
		return Outcome{}, err
	}
	return s.transact(ctx, Command{Environment: cmd.Name, Create: true, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			if e.Name == "" || e.DeletedAt != nil {
				return e.Create(cmd, now)
			}
			return e.Replace(cmd, now)
		})
}

// DeleteEnvironment retires everything of an environment and then forgets it.
func (s *Service) DeleteEnvironment(ctx context.Context, environment string, cmd rollout.DeleteCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Delete(cmd, now) })
}

// RegisterGeneration records a new generation.
func (s *Service) RegisterGeneration(ctx context.Context, environment string, cmd rollout.RegisterCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Register(cmd, now) })
}

// ValidateGeneration checks a generation again.
func (s *Service) ValidateGeneration(ctx context.Context, environment string, cmd rollout.ValidateCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Generations: []int{cmd.Generation}, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Validate(cmd, now) })
}

// PlanPromotion tells what a promote would do now, and changes nothing. It also answers with what it looked at, and
// with the time of that.
func (s *Service) PlanPromotion(ctx context.Context, environment string, cmd rollout.PromoteCommand) (rollout.Plan, rollout.Environment, time.Time, error) {
	call, cancel := context.WithTimeout(ctx, s.CallTimeout)
	defer cancel()
	e, now, err := s.Store.Environment(call, environment)
	if err == nil {
		err = refuseForeign(e)
	}
	if err != nil {
		return rollout.Plan{}, e, now, err
	}
	plan, err := e.Plan(cmd, now)
	return plan, e, now, err
}

// PromoteGeneration makes a generation live.
func (s *Service) PromoteGeneration(ctx context.Context, environment string, cmd rollout.PromoteCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Generations: []int{cmd.Generation}, Key: key,
		Decided: failpoint.PromoteDecided, Committed: failpoint.PromoteCommitted},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Promote(cmd, now) })
}

// Rollback moves all traffic away from a generation.
func (s *Service) Rollback(ctx context.Context, environment string, cmd rollout.RollbackCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Generations: named(cmd.From, cmd.To), Key: key,
		Decided: failpoint.RollbackDecided, Committed: failpoint.RollbackCommitted},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Rollback(cmd, now) })
}

// RetireGeneration takes a generation out for good.
func (s *Service) RetireGeneration(ctx context.Context, environment string, cmd rollout.RetireCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Generations: []int{cmd.Generation}, Key: key,
		Decided: failpoint.RetireDecided, Committed: failpoint.RetireCommitted},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Retire(cmd, now) })
}

// SetWeights shares the traffic by hand.
func (s *Service) SetWeights(ctx context.Context, environment string, cmd rollout.WeightsCommand, key *IdempotencyKey) (Outcome, error) {
	var numbers []int
	for n := range cmd.Weights {
		numbers = append(numbers, n)
	}
	return s.transact(ctx, Command{Environment: environment, Generations: named(numbers...), Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.SetWeights(cmd, now) })
}

// SetLock blocks promotes, weights and deletion.
func (s *Service) SetLock(ctx context.Context, environment string, cmd rollout.LockCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.SetLock(cmd, now) })
}

// ClearLock ends the lock.
func (s *Service) ClearLock(ctx context.Context, environment string, actor rollout.Actor, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.ClearLock(actor, now) })
}

// ReleaseAutomation ends the hold that a rollback put on automation.
func (s *Service) ReleaseAutomation(ctx context.Context, environment string, actor rollout.Actor, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			return e.ReleaseAutomation(actor, now)
		})
}

// SetRetention extends or shortens how long a generation without traffic is kept.
func (s *Service) SetRetention(ctx context.Context, environment string, cmd rollout.RetentionCommand, key *IdempotencyKey) (Outcome, error) {
	return s.transact(ctx, Command{Environment: environment, Generations: []int{cmd.Generation}, Key: key},
		func(e rollout.Environment, now time.Time) (rollout.Transition, error) { return e.Retain(cmd, now) })
}

// refuseForeign keeps this program from deciding on what a newer one wrote.
func refuseForeign(e rollout.Environment) error {
	why := e.Foreign()
	if why == "" {
		return nil
	}
	refusal := rollout.Refuse(rollout.Unavailable, "a newer version of Viridian wrote what this replica does not understand: "+why,
		"ask a replica of the newer version, or upgrade this one")
	refusal.Revision = e.Revision
	return refusal
}

// named leaves out the zeros, which name no generation.
func named(numbers ...int) []int {
	var out []int
	for _, n := range numbers {
		if n > 0 {
			out = append(out, n)
		}
	}
	return out
}
