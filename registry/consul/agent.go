package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sync/errgroup"

	"viridian/rollout"
)

// agentID is the id of an instance among all services of an agent; none of its parts has a colon in it.
func agentID(g rollout.Generation, catalogName string, in rollout.Instance) string {
	return catalogName + ":g" + strconv.Itoa(g.Number) + ":" + in.ID
}

// ours selects the services of a generation, among those of an agent by their prefix "" and in the catalog by "Service.".
func ours(g rollout.Generation, prefix string) string {
	return fmt.Sprintf("%sMeta[%q] == %q and %sMeta[%q] == %q", prefix, rollout.MetaEnvironment, g.Environment,
		prefix, rollout.MetaGeneration, strconv.Itoa(g.Number))
}

// rightAgent makes sure that the client leads to the agent that was meant: another one would get the group a second time.
func (r *Registry) rightAgent(ctx context.Context) error {
	var self struct{ Config struct{ NodeName string } }
	_, err := r.client.Raw().Query("/v1/agent/self", &self, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return explain(ctx, "ask the agent who it is", err)
	}
	if self.Config.NodeName != r.agent {
		return fmt.Errorf("consul.address leads to the agent of node %q, and groups are to be registered on that of %q (consul.agent)", self.Config.NodeName, r.agent)
	}
	return nil
}

// heldByAgent lists the ids of the generation's services that the agent has.
func (r *Registry) heldByAgent(ctx context.Context, g rollout.Generation) (map[string]bool, error) {
	if err := r.rightAgent(ctx); err != nil {
		return nil, err
	}
	services, err := r.client.Agent().ServicesWithFilterOpts(ours(g, ""), (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, explain(ctx, "list the agent's services", err)
	}
	out := map[string]bool{}
	for id := range services {
		out[id] = true
	}
	return out, nil
}

// registerOnAgent registers what the agent does not have yet. An agent takes services one by one: when that is cut off,
// the error says so, and the next call goes on. Nobody validates a generation before this was through.
func (r *Registry) registerOnAgent(ctx context.Context, g rollout.Generation, entries []entry) error {
	known, err := r.heldByAgent(ctx, g)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for _, e := range entries {
		if known[e.catalog.ID] {
			continue
		}
		check, err := agentCheck(e)
		if err != nil {
			return err
		}
		all.Go(func() error { return r.putOnAgent(ctx, e, check) })
	}
	return all.Wait()
}

// atOnce is how many calls an agent gets at the same time.
const atOnce = 16

func (r *Registry) putOnAgent(ctx context.Context, e entry, check *api.AgentServiceCheck) error {
	registration := &api.AgentServiceRegistration{ID: e.catalog.ID, Name: e.catalog.Service, Address: e.catalog.Address, Port: e.catalog.Port,
		Tags: e.catalog.Tags, Meta: e.catalog.Meta, Weights: &e.catalog.Weights, Check: check}
	if err := r.client.Agent().ServiceRegisterOpts(registration, api.ServiceRegisterOpts{}.WithContext(ctx)); err != nil {
		return explain(ctx, "register "+e.instance.ID+" on the agent", err)
	}
	return nil
}

// agentCheck is the service's health question as an agent asks it. Its own rules apply besides: it follows redirects,
// takes 200 to 299 for healthy, and asks once a second at most.
func agentCheck(e entry) (*api.AgentServiceCheck, error) {
	h := e.service.Health
	target := net.JoinHostPort(e.instance.Address, strconv.Itoa(e.instance.Port))
	check := &api.AgentServiceCheck{CheckID: e.catalog.ID, Name: "viridian has the agent ask " + e.instance.ID, Interval: h.Interval.Std().String(),
		Timeout: h.Timeout.Std().String(), SuccessBeforePassing: h.HealthyAfter, FailuresBeforeCritical: h.UnhealthyAfter, Status: api.HealthCritical}
	if h.Type != rollout.HealthHTTP {
		check.TCP = target
		return check, nil
	}
	if !slices.ContainsFunc(h.ExpectStatus, func(s rollout.StatusRange) bool { return s.From <= 299 && s.To >= 200 }) {
		return nil, fmt.Errorf("service %s expects a status that a Consul agent does not take for healthy: 200 to 299", e.service.Name)
	}
	check.HTTP, check.Method = "http://"+target+h.Path, http.MethodGet
	return check, nil
}

// deregisterFromAgent takes the generation's services from the agent.
func (r *Registry) deregisterFromAgent(ctx context.Context, g rollout.Generation) error {
	known, err := r.heldByAgent(ctx, g)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for id := range known {
		all.Go(func() error {
			err := r.client.Agent().ServiceDeregisterOpts(id, (&api.QueryOptions{}).WithContext(ctx))
			var status api.StatusError
			if err != nil && (!errors.As(err, &status) || status.Code != http.StatusNotFound) {
				return explain(ctx, "deregister "+id+" from the agent", err)
			}
			return nil
		})
	}
	return all.Wait()
}

// onAgent reports what Consul says of a service's group that the agent asks, until ctx ends.
func (w *watch) onAgent(ctx context.Context, svc rollout.Service, entries []entry) {
	service, name := svc.Name, rollout.CatalogName(w.generation.Environment, svc)
	entries = slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.service.Name != service })
	complete := false // all were there, and asked
	w.r.poll(ctx, func(q *api.QueryOptions) (*api.QueryMeta, error) {
		q.Filter = ours(w.generation, "Service.")
		found, meta, err := w.r.client.Health().Service(name, "", false, q)
		if err == nil && meta.ResultsFilteredByACLs {
			err = errHidden
		}
		if err != nil {
			return nil, err
		}
		c := &count{reading: rollout.Reading{Service: service, Total: len(entries)}}
		c.add(entries, found, nil)
		if c.unasked > 0 {
			// An agent passes on at once what changes the status, and other words minutes later.
			said, err := w.r.said(ctx, name)
			if err != nil {
				return nil, err
			}
			c = &count{reading: rollout.Reading{Service: service, Total: len(entries)}}
			c.add(entries, found, said)
		}
		if c.gone > 0 && ctx.Err() == nil {
			w.announceAgain(ctx)
		}
		complete = complete || c.gone+c.unasked == 0
		if complete && ctx.Err() == nil {
			w.board.post(service, c.reading)
		}
		return meta, nil
	}, func(err error) { w.lost(service, []string{service}, err) })
}

// said is the latest output of the agent's checks of a service, by their ids.
func (r *Registry) said(ctx context.Context, service string) (map[string]string, error) {
	checks, err := r.client.Agent().ChecksWithFilterOpts(fmt.Sprintf("ServiceName == %q", service), (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for id, c := range checks {
		out[id] = strings.Join(strings.Fields(c.Output), " ")
	}
	return out, nil
}

// count counts a group's instances among what was found.
type count struct {
	reading       rollout.Reading
	gone, unasked int
}

func (c *count) add(entries []entry, found []*api.ServiceEntry, said map[string]string) {
	byID := map[string]*api.ServiceEntry{}
	for _, f := range found {
		byID[f.Service.ID] = f
	}
	for _, e := range entries {
		f := byID[e.catalog.ID]
		if f == nil {
			c.gone++
			c.reading.Unhealthy++
			c.reading.Detail = firstText(c.reading.Detail, e.instance.ID+" is missing in Consul")
			continue
		}
		status, output := verdict(f)
		output = firstText(output, said[e.catalog.ID])
		switch {
		case status == api.HealthPassing:
			c.reading.Healthy++
		case output == "":
			c.unasked++
		default:
			c.reading.Unhealthy++
			c.reading.Detail = firstText(c.reading.Detail, e.instance.ID+" "+net.JoinHostPort(e.instance.Address, strconv.Itoa(e.instance.Port))+": "+output)
		}
	}
}

// verdict is the worst of an instance's checks, those of its node among them, and what that one said.
func verdict(f *api.ServiceEntry) (status, output string) {
	status = f.Checks.AggregatedStatus()
	for _, c := range f.Checks {
		if c.Status == status && status != api.HealthPassing {
			return status, strings.Join(strings.Fields(c.Output), " ")
		}
	}
	return status, ""
}
