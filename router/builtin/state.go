package builtin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// state is what an environment's state file says: everything needed to serve its route with nothing else at hand.
type state struct {
	Environment string            `json:"environment"`
	Revision    int64             `json:"revision"`
	Weights     rollout.Weights   `json:"weights"`
	Live        int               `json:"live"`
	Previous    int               `json:"previous"`
	SpecVersion int64             `json:"spec_version"`
	Drain       rollout.Duration  `json:"drain"`
	Services    []serviceState    `json:"services"`
	Generations []generationState `json:"generations"`
}

type serviceState struct {
	Name     string         `json:"name"`
	Hosts    []string       `json:"hosts"`
	Protocol string         `json:"protocol"`
	Health   rollout.Health `json:"health"`
}

type generationState struct {
	Number int             `json:"number"`
	Groups []rollout.Group `json:"groups"`
	// Of a generation that is followed: since when it has these members, and the revision that who said so knew.
	MembersAt       time.Time `json:"members_at,omitzero"`
	MembersRevision int64     `json:"members_revision,omitempty"`
}

func (g generationState) members() router.Members {
	return router.Members{At: g.MembersAt, Revision: g.MembersRevision}
}

// sealed is the form of the file: the state with the SHA-256 of its bytes, so that damage is noticed.
type sealed struct {
	Sum   string          `json:"sha256"`
	State json.RawMessage `json:"state"`
}

// state is what the file of the environment should say. env.mu is held.
func (env *environment) state() state {
	s := state{Environment: env.name, Revision: env.route.Revision, Weights: env.route.Weights, Live: env.route.Live,
		Previous: env.route.Previous, SpecVersion: env.route.SpecVersion, Drain: env.route.Drain}
	for _, svc := range env.route.Services {
		s.Services = append(s.Services, serviceState{svc.Name, svc.Hosts, svc.Protocol, svc.Health})
	}
	for _, n := range env.numbers() {
		g := env.generations[n]
		kept := generationState{Number: n, Groups: g.groups}
		if !g.members.IsZero() {
			kept.MembersAt, kept.MembersRevision = g.members.At, g.members.Revision
		}
		s.Generations = append(s.Generations, kept)
	}
	return s
}

// route is the route that the state describes.
func (s state) route() rollout.Route {
	r := rollout.Route{Environment: s.Environment, Revision: s.Revision, Weights: s.Weights, Live: s.Live,
		Previous: s.Previous, SpecVersion: s.SpecVersion, Drain: s.Drain}
	for _, svc := range s.Services {
		r.Services = append(r.Services, rollout.RouteService{
			Service: rollout.Service{Name: svc.Name, Protocol: svc.Protocol, Health: svc.Health}, Hosts: svc.Hosts})
	}
	return r
}

// encode gives equal bytes for equal states.
func (s state) encode() ([]byte, error) {
	inner, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(inner)
	return json.Marshal(sealed{Sum: hex.EncodeToString(sum[:]), State: inner})
}

// decodeState reads the state of the named environment. It is an error when it is damaged, another environment's, or
// not something that could be served.
func decodeState(name string, content []byte) (state, error) {
	var f sealed
	var s state
	if err := json.Unmarshal(content, &f); err != nil {
		return s, err
	}
	// The file is one line, as encode made it; an editor may have spread it out.
	var inner bytes.Buffer
	if err := json.Compact(&inner, f.State); err != nil {
		return s, err
	}
	if sum := sha256.Sum256(inner.Bytes()); hex.EncodeToString(sum[:]) != f.Sum {
		return s, errors.New("the checksum does not match")
	}
	if err := json.Unmarshal(inner.Bytes(), &s); err != nil {
		return s, err
	}
	if s.Environment != name {
		return s, fmt.Errorf("it is the state of environment %q", s.Environment)
	}
	return s, s.check()
}

func (s state) check() error {
	if err := checkRoute(s.route()); err != nil {
		return err
	}
	staged := map[int]bool{}
	for _, g := range s.Generations {
		staged[g.Number] = true
		if err := checkGroups(rollout.Generation{Number: g.Number, Groups: g.Groups}); err != nil {
			return err
		}
	}
	for _, n := range s.Weights.Numbers() {
		if !staged[n] {
			return fmt.Errorf("generation %d has weight and no instances", n)
		}
	}
	return nil
}
