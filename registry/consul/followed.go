package consul

import (
	"fmt"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// mostMembers is how many instances a group may have, as in openapi.yaml.
const mostMembers = 2000

func follows(group rollout.Group) bool { return group.Consul.Membership == rollout.Follow }

// toAsk are the instances that are to tell what they run, each with whether it passes its checks: the members and, of a
// group that follows, those that may join.
func toAsk(group rollout.Group, others []*api.ServiceEntry) []asked {
	var out []asked
	for _, in := range group.Instances {
		out = append(out, asked{Instance: in, passing: true})
	}
	if !follows(group) {
		return out
	}
	for _, f := range others {
		if in, err := instanceOf(f); err == nil {
			out = append(out, asked{Instance: in, passing: f.Checks.AggregatedStatus() == api.HealthPassing})
		}
	}
	return out
}

// present is a group that follows with the members that one answer of Consul gives it; nil when these are the ones that it
// has. Members stay as they are, healthy or not; of the others those join that pass their checks, can be reached, and run
// the generation's artifact. Without anybody left, all members are kept. The drift says who cannot join, and that members are kept.
func present(group rollout.Group, members []member, others []*api.ServiceEntry, digests *digests) (now *rollout.Group, drift []string) {
	var in []rollout.Instance
	ids, moved := map[string]bool{}, map[string]string{}
	for _, m := range members {
		if m.here() {
			in = append(in, m.Instance)
		}
		if m.entry != nil {
			ids[m.ID] = true
			moved[placeOf(m.Instance)] = m.ID
		}
	}
	stay := len(in)
	for _, f := range others {
		if f.Checks.AggregatedStatus() != api.HealthPassing {
			continue
		}
		next, why, known := newcomer(f, digests)
		if why == "" && len(in) >= mostMembers {
			why = fmt.Sprintf("%s is one too many: a group has at most %d instances", nameOf(f), mostMembers)
		}
		if why != "" {
			drift = append(drift, why)
		}
		if why != "" || !known {
			continue
		}
		if next.ID = moved[placeOf(next)]; next.ID == "" {
			next.ID = freeID(f, ids)
		}
		ids[next.ID] = true
		in = append(in, next)
	}
	switch {
	case len(in) == 0:
		return nil, append(drift, fmt.Sprintf("all of its members are gone from Consul, and nobody can join: the last known %d are kept", len(members)))
	case len(in) == stay && stay == len(members):
		return nil, drift
	}
	group.Instances = in
	return &group, drift
}

// newcomer is a passing service of the catalog as an instance that may join, without its id; else why says what keeps it
// out. Of one that did not tell yet what it runs, that is not known.
func newcomer(f *api.ServiceEntry, digests *digests) (in rollout.Instance, why string, known bool) {
	in, err := instanceOf(f)
	if err != nil {
		return in, err.Error(), true
	}
	in.ID = nameOf(f)
	says, known := digests.of(in, f)
	if says != "" {
		says += ", and cannot join"
	}
	in.ID = ""
	return in, says, known
}
