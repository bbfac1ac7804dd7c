package consul

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// adopted reports, until ctx ends, what Consul says of the instances that a group adopted, and how what is registered
// there differs from them. Others registered them, and nothing is ever written.
func (w *watch) adopted(ctx context.Context, group rollout.Group) {
	a := *group.Consul
	told := &digests{want: w.digest(), byPlace: map[string]told{}}
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if a.DigestPath != "" {
		for _, in := range group.Instances {
			asking.Go(func() { told.ask(ctx, w.r.clock, in, a.DigestPath) })
		}
	}
	w.r.poll(ctx, func(q *api.QueryOptions) (*api.QueryMeta, error) {
		q.Filter = a.Filter
		found, meta, err := w.r.client.Health().Service(a.Service, "", false, q)
		if err == nil && meta.ResultsFilteredByACLs {
			err = errHidden
		}
		if err != nil {
			return nil, err
		}
		if ctx.Err() == nil {
			w.board.post(group.Service, compare(group, found, told))
		}
		return meta, nil
	}, func(err error) { w.lost(group.Service, []string{group.Service}, err) })
}

func (w *watch) digest() string {
	if w.generation.Artifact == nil {
		return ""
	}
	return w.generation.Artifact.Digest
}

// compare holds what was found against the instances that were adopted.
func compare(group rollout.Group, found []*api.ServiceEntry, digests *digests) rollout.Reading {
	byPlace := map[string]*api.ServiceEntry{}
	for _, f := range found {
		byPlace[place(f.Node.Node, f.Service.ID)] = f
	}
	reading := rollout.Reading{Service: group.Service, Total: len(group.Instances)}
	var drift []string
	for _, in := range group.Instances {
		f := byPlace[placeOf(in)]
		delete(byPlace, placeOf(in))
		ill, differs := "", ""
		switch now, err := instanceIn(f); {
		case f == nil:
			ill, differs = in.ID+" is gone from Consul", in.ID+" is gone"
		case err != nil || now.Address != in.Address || now.Port != in.Port:
			ill, differs = in.ID+" is at another address", fmt.Sprintf("%s is at %s:%d", in.ID, now.Address, now.Port)
		default:
			if status, output := verdict(f); status != api.HealthPassing {
				ill = in.ID + ": " + firstText(output, "its checks say "+status)
			}
		}
		if differs != "" {
			drift = append(drift, differs)
		}
		if f != nil {
			says, known := digests.of(*group.Consul, in, f)
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
	for _, f := range found {
		if byPlace[place(f.Node.Node, f.Service.ID)] != nil {
			drift = append(drift, f.Service.ID+" on "+f.Node.Node+" was not adopted")
		}
	}
	reading.Drift = list(drift)
	return reading
}

func instanceIn(f *api.ServiceEntry) (rollout.Instance, error) {
	if f == nil {
		return rollout.Instance{}, nil
	}
	return instanceOf(f)
}

// list joins what differs, and counts what would be too much to read.
func list(texts []string) string {
	const most = 5
	if more := len(texts) - most; more > 0 {
		texts = append(texts[:most:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}
