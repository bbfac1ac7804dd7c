package consul

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// Published is the route of an environment as the key <prefix>/route has it, in JSON. Its fields are what templates and
// scripts read: they are added to, and never change their meaning.
type Published struct {
	Environment string           `json:"environment"`
	Revision    int64            `json:"revision"` // grows with every change of the route
	SpecVersion int64            `json:"spec_version"`
	Live        *int             `json:"live"`     // null for none
	Previous    *int             `json:"previous"` // what a rollback goes to; null for none
	Weights     map[string]int   `json:"weights"`  // percent by generation
	Groups      []PublishedGroup `json:"groups"`   // those that have a share, in the order of services and generations
	// Sum is over all of the rest: it tells an edit by hand.
	Sum string `json:"sum"`
}

// PublishedGroup is one service of one generation that has a share of the traffic.
type PublishedGroup struct {
	Service    string   `json:"service"`
	Name       string   `json:"name"`  // in Consul's catalog, where the group is registered there
	Hosts      []string `json:"hosts"` // that lead to the service
	Generation int      `json:"generation"`
	Weight     int      `json:"weight"` // in percent, of the whole group
	// MembersAt is since when the instances are these, where they come and go: then they change at one revision.
	MembersAt time.Time           `json:"members_at,omitzero"`
	Instances []PublishedInstance `json:"instances"`
}

// PublishedInstance is where one instance is.
type PublishedInstance struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	HostPort string `json:"hostport"` // both, with brackets where the address needs them
}

// kept is a staged generation as a key of its own has it: what a switch to it will publish.
type kept struct {
	Generation int                            `json:"generation"`
	Groups     map[string][]PublishedInstance `json:"groups"`          // by service
	Names      map[string]string              `json:"names,omitempty"` // in Consul's catalog, of services that were adopted there
	// Of a generation that is followed: since when it has these instances, and the revision that who said so knew.
	MembersAt       time.Time `json:"members_at,omitzero"`
	MembersRevision int64     `json:"members_revision,omitempty"`
	Sum             string    `json:"sum"`
}

func (k kept) members() router.Members {
	return router.Members{At: k.MembersAt, Revision: k.MembersRevision}
}

func keep(g rollout.Generation, members router.Members) kept {
	k := kept{Generation: g.Number, Groups: map[string][]PublishedInstance{}}
	if !members.IsZero() {
		k.MembersAt, k.MembersRevision = members.At, members.Revision
	}
	for _, group := range g.Groups {
		if a, ok := g.Adopts[group.Service]; ok {
			if k.Names == nil {
				k.Names = map[string]string{}
			}
			k.Names[group.Service] = a.Service
		}
		for _, in := range group.Instances {
			k.Groups[group.Service] = append(k.Groups[group.Service], PublishedInstance{ID: in.ID, Address: in.Address, Port: in.Port,
				HostPort: net.JoinHostPort(in.Address, strconv.Itoa(in.Port))})
		}
	}
	return k
}

// encode is the value of a key, with its sum.
func (k kept) encode() []byte {
	k.Sum = ""
	k.Sum = sum(text(k))
	return text(k)
}

func (p Published) encode() []byte {
	p.Sum = ""
	p.Sum = sum(text(p))
	return text(p)
}

func text(value any) []byte {
	out, err := json.Marshal(value)
	if err != nil {
		panic(err) // it has nothing that JSON cannot hold
	}
	return out
}

func sum(text []byte) string {
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:8])
}

// decodeKept reads a staged generation back; ok is false when somebody has changed it.
func decodeKept(value []byte) (k kept, ok bool) {
	err := json.Unmarshal(value, &k)
	return k, err == nil && string(k.encode()) == string(value)
}

// publish is what the key says at a route.
func publish(route rollout.Route, staged map[int]kept) Published {
	p := Published{Environment: route.Environment, Revision: route.Revision, SpecVersion: route.SpecVersion,
		Live: numberOrNull(route.Live), Previous: numberOrNull(route.Previous), Weights: map[string]int{}, Groups: []PublishedGroup{}}
	for n, share := range route.Weights {
		p.Weights[strconv.Itoa(n)] = share
	}
	for _, svc := range route.Services {
		for _, n := range route.Weights.Numbers() {
			if instances := staged[n].Groups[svc.Name]; len(instances) > 0 {
				p.Groups = append(p.Groups, PublishedGroup{Service: svc.Name, Name: cmp.Or(staged[n].Names[svc.Name], rollout.CatalogName(route.Environment, svc.Service)),
					Hosts: append([]string{}, svc.Hosts...), Generation: n, Weight: route.Weights[n], MembersAt: staged[n].MembersAt, Instances: instances})
			}
		}
	}
	return p
}

// with is the route with the present instances of a staged generation; of services that it has no share in, nothing is
// published.
func (p Published) with(k kept) Published {
	p.Groups = slices.Clone(p.Groups)
	for i, group := range p.Groups {
		if instances := k.Groups[group.Service]; group.Generation == k.Generation && len(instances) > 0 {
			p.Groups[i].Instances, p.Groups[i].MembersAt = instances, k.MembersAt
		}
	}
	return p
}

func numberOrNull(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// heldByKey reads what the key says; edited is told where that is not as we wrote it.
func heldByKey(key string, value []byte) held {
	h := held{name: "key " + key, weights: rollout.Weights{}}
	var p Published
	if err := json.Unmarshal(value, &p); err != nil {
		h.edited = fmt.Sprintf("%s was changed by hand, and is no JSON: %v", h.name, err)
		return h
	}
	h.mark = mark{Revision: max(p.Revision, 0), SpecVersion: max(p.SpecVersion, 0)}
	if p.Live != nil {
		h.Live = *p.Live
	}
	if p.Previous != nil {
		h.Previous = *p.Previous
	}
	for number, share := range p.Weights {
		if n, err := strconv.Atoi(number); err == nil && share > 0 {
			h.weights[n] = share
		}
	}
	if string(p.encode()) != string(value) {
		h.edited = h.name + " was changed by hand, and has " + weightsText(h.weights)
	}
	return h
}
