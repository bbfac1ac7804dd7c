package server

import (
	"context"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"

	"viridian/rollout"
	"viridian/web"
)

func pathNumber(r *http.Request) (int, error) {
	n, err := strconv.ParseInt(pathValue(r, "number"), 10, 32)
	if err != nil || n < 1 {
		return 0, rollout.Refuse(rollout.NotFound, "there is no such generation", "look at the environment's page")
	}
	return int(n), nil
}

func (s *server) showGenerationPage(w http.ResponseWriter, r *http.Request) error {
	at, now, err := s.theOne(r)
	if err != nil {
		return err
	}
	number, err := pathNumber(r)
	if err != nil {
		return err
	}
	d, err := s.generationDetail(r.Context(), callOf(r.Context()).caller, at, now, number)
	if err != nil {
		return err
	}
	title := "Generation " + strconv.Itoa(number) + " of " + at.e.Name
	p := s.livePage(r, title, "environments", streamPath(d.Generation.Path()+"/live", "", s.board.mark(0, present)), now)
	return writePage(w, r, http.StatusOK, web.GenerationPage(p, d))
}

// generationDetail is everything known of a generation.
func (s *server) generationDetail(ctx context.Context, caller Caller, at standing, now seen, number int) (web.GenerationDetail, error) {
	g, err := s.Store.Generation(ctx, at.e.Name, number)
	if err != nil {
		return web.GenerationDetail{}, err
	}
	made, err := s.Store.SwitchesOf(ctx, at.e.Name, number)
	if err != nil {
		return web.GenerationDetail{}, err
	}
	past, err := s.board.history(ctx, at.e)
	if err != nil {
		return web.GenerationDetail{}, err
	}
	d := generationRecord(g)
	colours := coloursOf(append(past.Generations, g))
	for _, sw := range made {
		d.Switches = append(d.Switches, switchView(sw, colours.shares))
	}
	s.fillPresent(ctx, caller, &d, at, now, g)
	d.replaced()
	return d.GenerationDetail, nil
}

// generationRecord is the part of it that was registered, with the instances that followed groups have now.
func generationRecord(g rollout.Generation) detail {
	d := detail{web.GenerationDetail{Generation: generationFacts(g), Metadata: factsOf(g.Metadata)}}
	if g.Artifact != nil {
		d.Digest = g.Artifact.Digest
		if src := g.Artifact.Source; src != nil {
			d.Repository, d.Commit, d.URL = src.Repository, src.Commit, src.URL
		}
	}
	for _, group := range g.Groups {
		shown := web.GroupView{Service: group.Service, Health: web.ServiceHealth{Service: group.Service, Total: len(group.Instances)}}
		if a := group.Consul; a != nil {
			shown.Adopted = &web.Adopted{Service: a.Service, Filter: a.Filter, Follows: a.Membership == rollout.Follow, Since: g.MembersAt, Until: g.AwaitedUntil()}
		}
		for _, i := range group.Instances {
			shown.Instances = append(shown.Instances, web.InstanceView{ID: i.ID, Address: net.JoinHostPort(i.Address, strconv.Itoa(i.Port)), Meta: factsOf(i.Meta)})
		}
		d.Groups = append(d.Groups, shown)
	}
	return d
}

type detail struct{ web.GenerationDetail }

// fillPresent adds what is true now: state, health, traffic, and what can be done.
func (s *server) fillPresent(ctx context.Context, caller Caller, d *detail, at standing, now seen, g rollout.Generation) {
	if present, ok := at.e.Generation(g.Number); ok {
		g = present
	}
	s.board.measure(ctx, at.e)
	s.board.drawing.together(func() { d.Environment = s.board.sidesLocked(caller, at, now).view })
	v := viewed{e: at.e, now: now.now, actions: d.Environment.Actions, traffic: s.board.trafficOf(at.e.Name)}
	d.Generation = v.generation(g)
	for i := range d.Groups {
		for _, h := range d.Generation.Health {
			if h.Service == d.Groups[i].Service {
				d.Groups[i].Health = h
			}
		}
	}
	d.Validation = web.Validation{StartedAt: g.Checked.StartedAt, FinishedAt: g.Checked.FinishedAt, Deadline: g.Checked.Deadline,
		Passed: g.Checked.Passed, Detail: g.Checked.Detail}
}

// replaced finds the switch that took the generation's traffic away for the last time.
func (d *detail) replaced() {
	if d.Generation.Weight > 0 {
		return
	}
	for _, sw := range d.Switches {
		if sw.From == d.Generation.Number && sw.To != d.Generation.Number {
			made := sw
			d.ReplacedBy, d.ReplacedTo = &made, sw.To
			return
		}
	}
}

func factsOf(values map[string]string) []web.Fact {
	var out []web.Fact
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, web.Fact{Name: name, Value: values[name]})
	}
	return out
}

func (s *server) followGeneration(w http.ResponseWriter, r *http.Request) error {
	number, err := pathNumber(r)
	if err != nil {
		return err
	}
	caller := callOf(r.Context()).caller
	return s.live(w, r, livePage{environment: pathValue(r, "environment"), shape: shapeOfOne,
		parts: func(ctx context.Context, now seen, _ bool) ([]part, func() []part) {
			if len(now.standings) == 0 {
				return s.board.goneParts(), nil
			}
			return nil, func() []part {
				d, err := s.generationDetail(ctx, caller, now.standings[0], now, number)
				if err != nil {
					return nil // the page keeps what it has, and its age
				}
				own := s.board.drawing.own
				return []part{own("generation-head", render(web.GenerationHead(d))), own("instances-now", render(web.InstanceList(d))),
					own("validation-now", render(web.ValidationNow(d.Validation))), own("traffic-now", render(web.TrafficNow(d.Generation))),
					own("generation-switches", render(web.GenerationSwitches(d)))}
			}
		}})
}
