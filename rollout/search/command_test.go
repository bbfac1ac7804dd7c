package search

import (
	"errors"
	"fmt"
	"time"

	"viridian/rollout"
)

var person = rollout.Actor{Kind: rollout.ActorToken, ID: "1", Name: "person"}

// ask is a kind of command that a client sends.
type ask uint8

// The kinds of command.
const (
	askRegister   ask = iota
	askAutomatic      // register with promote: true
	askPromote        // a ready generation, while no other promotion runs
	askSupersede      // promote in spite of one that runs
	askRollback       // from live to previous, or from a candidate to live
	askRollbackTo     // to a standby
	askRetire
	askWeights // half and half with live
	askValidate
)

var askNames = [...]string{"register a generation", "register a generation with promote: true", "promote", "promote with supersede", "roll back from",
	"roll back to", "retire", "give half of the traffic to", "validate"}

// command is what a client asks for, of a generation or of none.
type command struct {
	ask        ask
	generation uint8
}

func (c command) String() string {
	if c.generation == 0 {
		return askNames[c.ask]
	}
	return fmt.Sprintf("%s generation %d", askNames[c.ask], c.generation)
}

type commandKey struct {
	db   int32
	tick uint8
	cmd  command
}

// candidates are the commands of that kind that could make sense.
func (a ask) candidates() []command {
	if a == askRegister || a == askAutomatic {
		return []command{{ask: a}}
	}
	var out []command
	for n := range uint8(maxGenerations) {
		out = append(out, command{a, n + 1})
	}
	return out
}

// command is what comes of a command; a refusal changes nothing.
func (d *databases) command(id int32, ticks uint8, cmd command) result {
	key := commandKey{id, ticks, cmd}
	if done, ok := d.commands[key]; ok {
		return done
	}
	done := d.carryOut(id, at(ticks), cmd)
	d.commands[key] = done
	return done
}

func (d *databases) carryOut(id int32, now time.Time, cmd command) (done result) {
	defer caught(&done.broken)
	t, err := d.all[id].decide(cmd, now)
	var refusal *rollout.Refusal
	if errors.As(err, &refusal) {
		return result{db: id}
	} else if err != nil {
		return result{db: id, broken: broken(definite, "%v: %v", cmd, err)}
	}
	if done = d.take(id, now, t); done.broken == nil && done.changed {
		done.broken = d.askedAgain(done.db, cmd, t.Answer, now)
	}
	return done
}

func (db *database) decide(cmd command, now time.Time) (rollout.Transition, error) {
	number := int(cmd.generation)
	e := db.naming(cmd.generation)
	switch cmd.ask {
	case askRegister, askAutomatic:
		if e.LastNumber == maxGenerations {
			return rollout.Transition{}, rollout.Refuse(rollout.Conflict, "the world is full")
		}
		instance := rollout.Instance{ID: "i", Address: "10.0.0.1", Port: 1000 + e.LastNumber}
		return e.Register(rollout.RegisterCommand{Actor: person, Promote: cmd.ask == askAutomatic,
			Groups: []rollout.Group{{Service: "web", Instances: []rollout.Instance{instance}}}}, now)
	case askPromote, askSupersede:
		return e.Promote(rollout.PromoteCommand{Actor: person, Generation: number, Supersede: cmd.ask == askSupersede}, now)
	case askRollback:
		return e.Rollback(rollout.RollbackCommand{Actor: person, From: number}, now)
	case askRollbackTo:
		return e.Rollback(rollout.RollbackCommand{Actor: person, To: number}, now)
	case askRetire:
		return e.Retire(rollout.RetireCommand{Actor: person, Generation: number}, now)
	case askWeights:
		return e.SetWeights(rollout.WeightsCommand{Actor: person, Weights: rollout.Weights{e.Live: 50, number: 50}}, now)
	case askValidate:
		return e.Validate(rollout.ValidateCommand{Actor: person, Generation: number}, now)
	}
	panic("search: no such command")
}

// caught makes a panic of the decision functions a broken invariant.
func caught(v **violation) {
	if r := recover(); r != nil {
		*v = broken("no decision panics", "%v", r)
	}
}
