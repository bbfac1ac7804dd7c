package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/web"
)

// showStart is the first-run page. It goes on with the environment that the address names, or the only one there is.
func (s *server) showStart(w http.ResponseWriter, r *http.Request) error {
	view, err := s.start(r)
	if err != nil {
		return err
	}
	return writePage(w, r, http.StatusOK, web.StartPage(s.page(r, "First steps", "environments"), view))
}

// showStartSteps is what changes of it.
func (s *server) showStartSteps(w http.ResponseWriter, r *http.Request) error {
	view, err := s.start(r)
	if err != nil {
		return err
	}
	return writePage(w, r, http.StatusOK, web.StartSteps(view))
}

func (s *server) start(r *http.Request) (web.Start, error) {
	c := callOf(r.Context())
	out := web.Start{CSRF: c.session.csrf(), Key: newKey(), MayCreate: Can(c.caller, "environment.create", ""), Role: string(c.caller.Role)}
	name := r.URL.Query().Get("environment")
	if name == "" {
		now, err := s.board.current(r.Context(), c.caller, "")
		if err != nil {
			return out, err
		}
		if len(now.standings) == 1 {
			name = now.standings[0].e.Name
		}
	}
	if name == "" {
		out.Steps = startSteps(beginner{})
		return out, nil
	}
	if err := allow(c.caller, "environment.show", name); err != nil {
		return out, err
	}
	e, now, err := s.environment(r.Context(), name)
	if err != nil {
		return out, err
	}
	b := beginner{e: e, now: now, actions: s.environmentActions(c.caller, e, now), api: baseURL(r), proxy: s.proxyURL(r)}
	out.Environment, out.Path = name, "/start/steps?environment="+url.QueryEscape(name)
	out.Steps = startSteps(b)
	out.Done = e.Live != 0 && e.Switch != nil && e.Switch.Status == rollout.Applied
	return out, nil
}

// beginner is how far somebody has come with their first environment.
type beginner struct {
	e          rollout.Environment
	now        time.Time
	actions    web.Actions
	api, proxy string
}

// newest is the newest generation that has not failed, or else the newest.
func (b beginner) newest() (rollout.Generation, bool) {
	var out rollout.Generation
	for _, g := range b.e.Generations {
		if g.State != rollout.Retiring && g.State != rollout.Retired && g.State != rollout.Failed || out.Number == 0 {
			out = g
		}
	}
	return out, out.Number != 0
}

func startSteps(b beginner) []web.StartStep {
	g, registered := b.newest()
	ready := registered && g.State != rollout.Registered && g.State != rollout.Validating && g.State != rollout.Failed
	live := b.e.Live != 0
	applied := live && b.e.Switch != nil && b.e.Switch.Status == rollout.Applied
	steps := []web.StartStep{
		{Title: "Create an environment", Done: b.e.Name != "", Text: "The thing whose traffic is switched, such as shop-prod."},
		{Title: "Register a generation", Done: registered && g.State != rollout.Failed, Text: "Your build starts the instances and says where they are. Nothing is switched by it."},
		{Title: "Wait until it is ready", Done: ready, Text: "Every load balancer knows its instances at weight 0, and they are asked for their health."},
		{Title: "Promote it", Done: live, Text: "All traffic goes there, in one step at every load balancer."},
		{Title: "See it answer", Done: applied, Text: "Applied means that every load balancer was seen to do it."},
	}
	for i := range steps {
		if steps[i].Done {
			continue
		}
		steps[i].Now = true
		b.detail(i, g, &steps[i])
		break
	}
	if b.e.Name != "" && applied {
		steps[4].Code, steps[4].Link = b.ask(), "/environments/"+b.e.Name
	}
	return steps
}

// detail gives the step that is next what it needs.
func (b beginner) detail(i int, g rollout.Generation, step *web.StartStep) {
	switch i {
	case 0:
		step.Form = true
	case 1:
		step.Code = b.register()
		step.Text += " Change the address to an instance of yours; TOKEN is an API token with the role deployer."
		if g.State == rollout.Failed {
			step.Failed = fmt.Sprintf("Generation %d failed: %s. Register another one.", g.Number, g.Reason)
		}
	case 2:
		step.Text = fmt.Sprintf("Generation %d is %s. %s", g.Number, g.State, web.Sentence(g.Reason))
	case 3:
		if a, ok := b.actions.Promote[g.Number]; ok {
			step.Action = &a
		}
	}
}

// register is the exact command that registers a generation of the environment.
func (b beginner) register() string {
	type instance struct {
		ID      string `json:"id"`
		Address string `json:"address"`
		Port    int    `json:"port"`
	}
	type group struct {
		Service   string     `json:"service"`
		Instances []instance `json:"instances"`
	}
	var groups []group
	for i, svc := range b.e.Spec.Services {
		groups = append(groups, group{svc.Name, []instance{{svc.Name + "-1", "127.0.0.1", 9000 + i}}})
	}
	body, err := json.Marshal(map[string]any{"version": "1.0", "groups": groups})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("curl -sS -X POST %s/v1/environments/%s/generations \\\n  -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n  -d '%s'",
		b.api, b.e.Name, body)
}

// ask is how to see the environment answer.
func (b beginner) ask() string {
	host := ""
	for _, svc := range b.e.Spec.Services {
		host = b.e.Spec.EffectiveHosts(b.e.Name, svc)[0]
		break
	}
	return fmt.Sprintf("curl -s -H 'Host: %s' %s", host, b.proxy)
}

// baseURL is where the reader's browser has found this server.
func baseURL(r *http.Request) string {
	host := strings.Map(func(c rune) rune {
		if strings.ContainsRune("'\"\\$`", c) || c <= ' ' {
			return -1 // it becomes part of a command
		}
		return c
	}, r.Host)
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if r.TLS == nil && r.Header.Get("X-Forwarded-Proto") != "https" && loopbackHost(strings.Trim(name, "[]")) {
		return "http://" + host
	}
	return "https://" + host
}

// proxyURL is where traffic comes in, seen from the reader.
func (s *server) proxyURL(r *http.Request) string {
	listen := ""
	if s.ProxyListen != nil {
		listen = s.ProxyListen()
	}
	base, err := url.Parse(baseURL(r))
	_, port, portErr := net.SplitHostPort(listen)
	if err != nil || portErr != nil {
		return "http://127.0.0.1:8080"
	}
	return "http://" + net.JoinHostPort(base.Hostname(), port)
}
