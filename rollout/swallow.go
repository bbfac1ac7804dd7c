package rollout

import "cmp"

// swallowed refuses two adoptions of which one follows and would take the instances of the other, as soon as these pass
// their checks and before anybody has promoted them: its filter finds them, and no digest keeps them out.
func (e Environment) swallowed(cmd RegisterCommand) *Refusal {
	for _, group := range cmd.Groups {
		if group.Consul == nil {
			continue
		}
		for _, g := range e.Generations {
			if !g.State.Holds() {
				continue
			}
			for _, before := range g.Adopts {
				if !before.swallows(*group.Consul, g.Artifact, cmd.Artifact) && !group.Consul.swallows(before, cmd.Artifact, g.Artifact) {
					continue
				}
				return e.refuse(Conflict, "give a filter by what this generation alone has, such as Service.Meta.build == \"1812\", have digests compared, or retire the other one",
					"the filters of service %s and of generation %d find the same instances of %s in Consul, and one that follows would take those of the other", group.Service, g.Number, before.Service)
			}
		}
	}
	return nil
}

// swallows says that whatever the other adoption finds would be taken for members. What an adoption is for is an artifact.
func (a Adoption) swallows(other Adoption, artifact, others *Artifact) bool {
	if a.Membership != Follow || a.Service != other.Service {
		return false
	}
	if cmp.Or(a.DigestMeta, a.DigestPath) != "" && others != nil && others.Digest != "" && artifact != nil && artifact.Digest != others.Digest {
		return false
	}
	if a.Filter == "" || a.Filter == other.Filter {
		return true
	}
	wide, errWide := ParseSelection(a.Filter)
	narrow, errNarrow := ParseSelection(other.Filter)
	return errWide == nil && errNarrow == nil && wide.covers(narrow)
}
