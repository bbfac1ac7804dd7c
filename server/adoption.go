package server

import (
	"cmp"
	"time"

	"viridian/rollout"
	"viridian/server/api"
)

// adoptionFrom reads where a group is adopted from; nil for nowhere. A timeout that cannot be read is out of bounds, and
// refused as such.
func adoptionFrom(a *api.Adoption) *rollout.Adoption {
	if a == nil {
		return nil
	}
	out := &rollout.Adoption{Service: a.Service, Filter: given(a.Filter), Expect: a.Expect, Timeout: rollout.DefaultAdoptionTimeout,
		Membership: rollout.Membership(cmp.Or(string(given(a.Membership)), string(rollout.Frozen)))}
	if a.Timeout != nil {
		d, err := time.ParseDuration(*a.Timeout)
		if err != nil {
			d = 0
		}
		out.Timeout = rollout.Duration(d)
	}
	if a.Digest != nil {
		out.DigestMeta, out.DigestPath = given(a.Digest.Meta), given(a.Digest.Path)
	}
	return out
}

func adoptionOf(a *rollout.Adoption) *api.Adoption {
	if a == nil {
		return nil
	}
	timeout, membership := a.Timeout.String(), api.AdoptionMembership(a.Membership)
	out := &api.Adoption{Service: a.Service, Filter: text(a.Filter), Expect: a.Expect, Timeout: &timeout, Membership: &membership}
	if a.DigestMeta != "" || a.DigestPath != "" {
		out.Digest = &api.DigestSource{Meta: text(a.DigestMeta), Path: text(a.DigestPath)}
	}
	return out
}
