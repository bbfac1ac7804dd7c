package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Adoption says which instances a group takes over that registered themselves with a registry.
type Adoption struct {
	Service    string     `json:"service"`          // its name in the registry
	Filter     string     `json:"filter,omitempty"` // a filter expression of the registry
	Expect     int        `json:"expect"`           // how many there must be, all passing
	Timeout    Duration   `json:"timeout"`          // from the registration
	Membership Membership `json:"membership"`
	// DigestMeta or DigestPath says where an instance tells the digest of the artifact that it runs: in its service meta
	// in the registry, or over HTTP. Both empty: that is not asked.
	DigestMeta string `json:"digest_meta,omitempty"`
	DigestPath string `json:"digest_path,omitempty"`
}

// Membership says what follows when the registry's instances change after the adoption.
type Membership string

// The two memberships.
const (
	// Frozen keeps the list of instances as it was adopted: later changes are drift.
	Frozen Membership = "frozen"
	// Follow keeps what tells the instances, filter and digest, and lets the registry's instances come and go.
	Follow Membership = "follow"
)

// DefaultAdoptionTimeout is how long instances are waited for.
const DefaultAdoptionTimeout = Duration(5 * time.Minute)

// The bounds of an adoption.
const (
	maxAdopted = 2000 // instances, as in openapi.yaml
	maxFilter  = 2000
)

// Adopting is what a generation waits for until the instances that it adopts are there.
const Adopting = "adopting"

// Awaiting says whether the generation has yet to adopt its instances: until then nobody knows them.
func (g Generation) Awaiting() bool { return len(g.Adopts) > 0 && !g.Adopted }

// Digest is that of the artifact; empty when none was given.
func (g Generation) Digest() string {
	if g.Artifact == nil {
		return ""
	}
	return g.Artifact.Digest
}

// WithAdoptions puts beside each adopted group where it is from; one that is awaited is added, without instances.
func (g Generation) WithAdoptions() Generation {
	g.Groups = slices.Clone(g.Groups)
	for _, service := range slices.Sorted(maps.Keys(g.Adopts)) {
		adoption := g.Adopts[service]
		if i := slices.IndexFunc(g.Groups, func(group Group) bool { return group.Service == service }); i >= 0 {
			g.Groups[i].Consul = &adoption
			continue
		}
		g.Groups = append(g.Groups, Group{Service: service, Consul: &adoption})
	}
	return g
}

// AdoptionSeen is how far an adoption has come.
type AdoptionSeen struct {
	Generation int
	Detail     string // what is missing
}

// AdoptCommand sets the instances of a generation's adopted groups, once.
type AdoptCommand struct {
	Generation int
	Groups     []Group // those of the registration beside them, which have no instance at the same place
}

// Adopt sets the instances that a registered generation adopts. Whether they are free is asked by the store. Of a
// generation that awaits none any more nothing changes.
func (e Environment) Adopt(cmd AdoptCommand, now time.Time) (Transition, error) {
	g, err := e.target(cmd.Generation)
	if err != nil {
		return Transition{}, err
	}
	if !g.Awaiting() || g.State != Registered {
		return Transition{After: e}, nil
	}
	data := map[string]any{}
	for service, adoption := range g.Adopts {
		i := slices.IndexFunc(cmd.Groups, func(group Group) bool { return group.Service == service })
		if i < 0 || len(cmd.Groups[i].Instances) != adoption.Expect {
			return Transition{}, e.refuse(InvalidRequest, "", "service %s is to adopt %d instances", service, adoption.Expect)
		}
		data[service] = adoption.Expect
	}
	if wrong := checkInstances(cmd.Groups); len(wrong) > 0 {
		return Transition{}, e.refuse(InvalidRequest, "", "the instances that were found cannot be used: %s", wrong[0].Detail)
	}
	groups := slices.DeleteFunc(slices.Clone(cmd.Groups), func(group Group) bool { _, adopted := g.Adopts[group.Service]; return !adopted })
	c := e.change(System, now)
	c.edit(g.Number, func(g *Generation) {
		deadline := now.Add(e.Spec.Validation.Timeout.Std()) // its time to be staged begins now
		g.Adopted, g.Waiting, g.Reason, g.Checked.Deadline = true, "", "", &deadline
		if len(g.Follows()) > 0 {
			g.MembersAt = now
		}
	})
	c.t.Adopted = &Adopted{Generation: g.Number, Groups: groups}
	c.event(EventGenerationAdopted, g.Number, 0, data)
	return c.done(Answer{Generation: g.Number, Changed: true}), nil
}

// Adopted is the groups that a generation has adopted.
type Adopted struct {
	Generation int
	Groups     []Group
}

// awaits notes how far an adoption has come.
func (c *change) awaits(seen AdoptionSeen) {
	g, ok := c.e.Generation(seen.Generation)
	if !ok || !g.Awaiting() || g.State != Registered || g.Reason == seen.Detail {
		return
	}
	if g.Waiting != Adopting {
		c.event(EventGenerationWaiting, g.Number, 0, map[string]any{"code": Adopting, "detail": seen.Detail})
	}
	c.edit(g.Number, func(g *Generation) { g.Waiting, g.Reason = Adopting, seen.Detail })
}

// AwaitedUntil is when a generation fails that has not adopted its instances; zero for one that awaits none.
func (g Generation) AwaitedUntil() time.Time {
	if !g.Awaiting() {
		return time.Time{}
	}
	return g.adoptionDeadline()
}

// adoptionDeadline is when a generation fails that has not adopted its instances.
func (g Generation) adoptionDeadline() time.Time {
	var longest time.Duration
	for _, a := range g.Adopts {
		longest = max(longest, a.Timeout.Std())
	}
	return g.CreatedAt.Add(longest)
}

// checkAdoption says what is wrong with an adoption, by pointer.
func (e Environment) checkAdoption(group Group, at string) (wrong []FieldError) {
	a := group.Consul
	bad := func(pointer, detail string) { wrong = append(wrong, FieldError{Pointer: at + pointer, Detail: detail}) }
	switch {
	case e.Spec.Registry != "consul":
		bad("/consul", fmt.Sprintf("the registry of the environment is %q; only \"consul\" has instances to adopt", e.Spec.Registry))
	case len(group.Instances) > 0:
		bad("/instances", "a group lists its instances or adopts them from Consul, not both")
	}
	if a.Service == "" || len(a.Service) > 255 || strings.ContainsFunc(a.Service, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		bad("/consul/service", "the name of a service in Consul")
	}
	if len(a.Filter) > maxFilter {
		bad("/consul/filter", fmt.Sprintf("at most %d characters", maxFilter))
	} else if err := readable(a.Filter); err != nil {
		bad("/consul/filter", err.Error())
	}
	if a.Expect < 1 || a.Expect > maxAdopted {
		bad("/consul/expect", fmt.Sprintf("how many instances there will be, 1 to %d", maxAdopted))
	}
	if d := a.Timeout.Std(); d < shortest || d > longest {
		bad("/consul/timeout", fmt.Sprintf("%s to %s", Duration(shortest), Duration(longest)))
	}
	if a.Membership != Frozen && a.Membership != Follow {
		bad("/consul/membership", `"frozen" or "follow"`)
	}
	if a.DigestMeta != "" && a.DigestPath != "" {
		bad("/consul/digest", "meta or path, not both")
	}
	if a.DigestPath != "" && !strings.HasPrefix(a.DigestPath, "/") {
		bad("/consul/digest/path", "begins with /")
	}
	return wrong
}

// checkDigest refuses to compare digests with none.
func checkDigest(cmd RegisterCommand) (wrong []FieldError) {
	if cmd.Artifact != nil && cmd.Artifact.Digest != "" {
		return nil
	}
	for i, group := range cmd.Groups {
		if a := group.Consul; a != nil && cmp.Or(a.DigestMeta, a.DigestPath) != "" {
			wrong = append(wrong, FieldError{Pointer: fmt.Sprintf("/groups/%d/consul/digest", i), Detail: "needs artifact.digest to compare with"})
		}
	}
	return wrong
}

// CanonicalAddress is the one spelling in which an address is registered; ok is false for what is none.
func CanonicalAddress(s string) (address string, ok bool) {
	if ip, err := netip.ParseAddr(s); err == nil {
		s = ip.Unmap().String()
	}
	s = strings.ToLower(s)
	return s, validAddress(s)
}

// ValidInstanceID says whether s may be the id of an instance.
func ValidInstanceID(s string) bool { return idPattern.MatchString(s) }

// mismatchBlock refuses a generation of which instances say that they run something else.
func (e Environment) mismatchBlock(g Generation) *Refusal {
	for _, svc := range e.services(g) {
		if r, _ := e.Reading(g.Number, svc, g.StateChangedAt); r.Mismatched > 0 {
			return e.refuse(GenerationNotReady, "find out who changed them; register what was built as a new generation",
				"%d of %d instances of service %s do not run the artifact of generation %d%s", r.Mismatched, r.Total, svc, g.Number, withDetail(r.Drift))
		}
	}
	return nil
}
