package consul

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// adopted reports, until ctx ends, what Consul says of the instances that a group adopted. When others are registered there,
// that is drift of a frozen group, and the members of one that follows. Nothing is ever written.
func (w *watch) adopted(ctx context.Context, group rollout.Group) {
	ctx, stop := context.WithCancel(ctx)
	told := newDigests(w.r.clock, *group.Consul, w.generation.Digest())
	defer told.wait()
	defer stop()
	first := true
	w.r.poll(ctx, func(q *api.QueryOptions) (*api.QueryMeta, error) {
		q.Filter = group.Consul.Filter
		found, meta, err := w.r.client.Health().Service(group.Consul.Service, "", false, q)
		if err == nil && meta.ResultsFilteredByACLs {
			err = errHidden
		}
		if err != nil {
			return nil, err
		}
		members, others := compare(group, found)
		told.ask(ctx, toAsk(group, others))
		if first {
			told.await(ctx, group.Instances)
			first = false
		}
		reading, now := judge(group, members, others, told)
		if ctx.Err() == nil {
			w.board.postAdopted(reading, now)
		}
		return meta, nil
	}, func(err error) { w.lost(group.Service, []string{group.Service}, err) })
}

// member is an instance of a group, and what one answer of Consul has of it.
type member struct {
	rollout.Instance
	entry *api.ServiceEntry // nil when it is gone
	moved string            // to which address; empty while it is where it was
}

func (m member) here() bool { return m.entry != nil && m.moved == "" }

// compare holds what was found against the instances of a group. The others are no member's, in order of their names; of a
// group that follows, one that moved is there as well.
func compare(group rollout.Group, found []*api.ServiceEntry) (members []member, others []*api.ServiceEntry) {
	byPlace := map[string]*api.ServiceEntry{}
	for _, f := range found {
		byPlace[place(f.Node.Node, f.Service.ID)] = f
	}
	for _, in := range group.Instances {
		m := member{Instance: in, entry: byPlace[placeOf(in)]}
		if m.entry != nil {
			now, err := instanceOf(m.entry)
			switch {
			case err != nil:
				m.moved = "an address that cannot be used"
			case now.Address != in.Address || now.Port != in.Port:
				m.moved = fmt.Sprintf("%s:%d", now.Address, now.Port)
			}
		}
		if m.here() || !follows(group) {
			delete(byPlace, placeOf(in))
		}
		members = append(members, m)
	}
	for _, f := range found {
		if byPlace[place(f.Node.Node, f.Service.ID)] != nil {
			others = append(others, f)
		}
	}
	slices.SortFunc(others, byName)
	return members, others
}

// judge counts the members' health, and says what differs. now is the group with its present members when it follows and
// these are others.
func judge(group rollout.Group, members []member, others []*api.ServiceEntry, digests *digests) (reading rollout.Reading, now *rollout.Group) {
	reading = rollout.Reading{Service: group.Service, Total: len(members)}
	var drift []string
	for _, m := range members {
		ill, differs := m.ill()
		if differs != "" && !follows(group) {
			drift = append(drift, differs)
		}
		if m.here() || m.entry != nil && !follows(group) {
			says, known := digests.of(m.Instance, m.entry)
			switch {
			case !known && ill == "": // neither healthy nor not, until it has told
				continue
			case says != "":
				reading.Mismatched++
				drift = append(drift, says)
			}
		}
		if ill == "" {
			reading.Healthy++
			continue
		}
		reading.Unhealthy++
		reading.Detail = firstText(reading.Detail, ill)
	}
	if follows(group) {
		var out []string
		now, out = present(group, members, others, digests)
		drift = append(drift, out...)
	} else {
		for _, f := range others {
			drift = append(drift, nameOf(f)+" was not adopted")
		}
	}
	reading.Drift = list(drift)
	return reading, now
}

// ill says why a member is not healthy, and how it differs from what was adopted; each is empty for not at all.
func (m member) ill() (why, differs string) {
	switch {
	case m.entry == nil:
		return m.ID + " is gone from Consul", m.ID + " is gone"
	case m.moved != "":
		return m.ID + " is at another address", m.ID + " is at " + m.moved
	}
	if status, output := verdict(m.entry); status != api.HealthPassing {
		return m.ID + ": " + firstText(output, "its checks say "+status), ""
	}
	return "", ""
}

// nameOf is an instance as people find it in Consul.
func nameOf(f *api.ServiceEntry) string { return f.Service.ID + " on " + f.Node.Node }

// list joins what differs, and counts what would be too much to read.
func list(texts []string) string {
	const most = 5
	if more := len(texts) - most; more > 0 {
		texts = append(texts[:most:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}
