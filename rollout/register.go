package rollout

import (
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// RegisterCommand asks for a new generation.
type RegisterCommand struct {
	Actor    Actor
	Version  string
	Artifact *Artifact
	Metadata map[string]string
	Groups   []Group
	Promote  bool
}

var (
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`)
	hostPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// Register records a new generation with the next number. Whether its instances are free is asked by the store.
func (e Environment) Register(cmd RegisterCommand, now time.Time) (Transition, error) {
	if err := e.deletedRefusal(); err != nil {
		return Transition{}, err
	}
	if errs := append(e.checkGroups(cmd.Groups), checkDigest(cmd)...); len(errs) > 0 {
		return Transition{}, &Refusal{Code: InvalidRequest, Detail: "the groups do not fit the environment",
			Fixes: []string{"give exactly one group for each service of the environment"}, Errors: errs, Revision: e.Revision}
	}
	if r := e.unfindable(cmd.Groups); r != nil {
		return Transition{}, r
	}
	if r := e.swallowed(cmd); r != nil {
		return Transition{}, r
	}
	c := e.change(cmd.Actor, now)
	g := Generation{Environment: e.Name, Number: e.LastNumber + 1, Version: cmd.Version, Artifact: cmd.Artifact,
		Metadata: cmd.Metadata, Groups: cmd.Groups, Colour: e.nextColour(), CreatedAt: now, CreatedBy: cmd.Actor.String(),
		State: Registered, StateChangedAt: now, Promote: cmd.Promote, Sizes: map[string]int{}}
	for _, group := range cmd.Groups {
		g.Sizes[group.Service] = len(group.Instances)
		if a := group.Consul; a != nil {
			if g.Adopts == nil {
				g.Adopts = map[string]Adoption{}
			}
			g.Sizes[group.Service], g.Adopts[group.Service] = a.Expect, *a
		}
	}
	c.e.LastNumber = g.Number
	c.e.Generations = append(c.e.Generations, g)
	c.t.Registered = &g
	c.event("generation.registered", g.Number, 0, map[string]any{"version": g.Version, "colour": string(g.Colour), "promote": g.Promote})
	return c.done(Answer{Generation: g.Number, Changed: true}), nil
}

// nextColour is the other one than live's; without a live generation, the other one than the newest's.
func (e Environment) nextColour() Colour {
	if g, ok := e.Generation(e.Live); ok {
		return g.Colour.Other()
	}
	if len(e.Generations) > 0 {
		return e.Generations[len(e.Generations)-1].Colour.Other()
	}
	return Blue
}

func (e Environment) checkGroups(groups []Group) []FieldError {
	var errs []FieldError
	bad := func(detail, pointer string) {
		errs = append(errs, FieldError{Pointer: pointer, Detail: detail})
	}
	seen := map[string]bool{}
	for i, group := range groups {
		if _, ok := e.Spec.Service(group.Service); !ok {
			bad(fmt.Sprintf("the environment has no service %q", group.Service), fmt.Sprintf("/groups/%d/service", i))
		} else if seen[group.Service] {
			bad("a second group for this service", fmt.Sprintf("/groups/%d/service", i))
		}
		seen[group.Service] = true
		if group.Consul != nil {
			errs = append(errs, e.checkAdoption(group, fmt.Sprintf("/groups/%d", i))...)
		} else if len(group.Instances) == 0 {
			bad("a group has at least one instance", fmt.Sprintf("/groups/%d/instances", i))
		}
	}
	errs = append(errs, checkInstances(groups)...)
	for _, svc := range e.Spec.Services {
		if !seen[svc.Name] {
			bad(fmt.Sprintf("no group for service %q", svc.Name), "/groups")
		}
	}
	return errs
}

// checkInstances holds the instances of all groups against their form and each other.
func checkInstances(groups []Group) []FieldError {
	var errs []FieldError
	bad := func(detail, pointer string) {
		errs = append(errs, FieldError{Pointer: pointer, Detail: detail})
	}
	places := map[string]string{}
	for i, group := range groups {
		ids := map[string]bool{}
		for j, in := range group.Instances {
			at := fmt.Sprintf("/groups/%d/instances/%d", i, j)
			if !idPattern.MatchString(in.ID) {
				bad("letters, digits, and inner . _ -, 1 to 128 of them", at+"/id")
			} else if ids[in.ID] {
				bad("a second instance with this id", at+"/id")
			}
			ids[in.ID] = true
			if !validAddress(in.Address) {
				bad("an IP address or a host name in lower case", at+"/address")
			}
			if in.Port < 1 || in.Port > 65535 {
				bad("a port is 1 to 65535", at+"/port")
			}
			place := fmt.Sprintf("%s:%d", in.Address, in.Port)
			if there, taken := places[place]; taken {
				bad(fmt.Sprintf("%s is at %s, where %s is", in.ID, place, there), at)
			}
			places[place] = in.ID
		}
	}
	return errs
}

// validAddress takes an address in its one canonical spelling, so that one place cannot be written in two ways.
func validAddress(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.Is4In6() && ip.String() == s
	}
	return len(s) <= 253 && hostPattern.MatchString(s) && !numericLabel.MatchString(s)
}

// numericLabel is a last label of digits only: a mistyped IP address, never a host name (RFC 3696 §2).
var numericLabel = regexp.MustCompile(`(^|\.)[0-9]+$`)
