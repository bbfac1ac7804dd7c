package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"viridian/client"
	"viridian/rollout"
	"viridian/router/routertest"
)

// attacker asks the API for things with hostile names in them.
type attacker struct {
	*fleet
	random   *rand.Rand
	spec     []byte // of the shop, as it should be
	refused  int
	accepted map[string]int
	follows  int // how many generations are still awaited on the HAProxy: each takes a place until it is gone
	more     int // how many are registered besides
	backend  rollout.Instance
}

// TestProveHAProxyHostileNames sends hostile names and addresses through the API to an HAProxy that serves. Each is
// refused as a mistake of the caller, or taken, and then the HAProxy holds exactly what was asked for and nothing else.
func TestProveHAProxyHostileNames(t *testing.T) {
	t.Parallel()
	began := time.Now()
	f := fleetOf(newLab(t), "all", 1, "a")
	lb := f.balancers[0]
	f.inSync("before")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	spec, err := json.Marshal(f.spec)
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{fleet: f, random: rand.New(rand.NewPCG(seed, 5)), spec: spec, accepted: map[string]int{}, follows: count(2, 12), more: count(2, 60),
		backend: routertest.NewBackend(t, 99).Instance("web-1")}
	before := lb.everything()
	traffic := f.load()
	attempts := count(300, 10000)
	for range attempts {
		a.attempt(routertest.HostileText(a.random))
		if t.Failed() {
			break
		}
	}
	f.eventually("what was registered is gone", func() bool {
		res, err := f.client.ListGenerationsWithResponse(t.Context(), f.name, nil)
		return err == nil && res.JSON200 != nil && !slices.ContainsFunc(res.JSON200.Items, func(g client.Generation) bool {
			return g.State != client.GenerationStateLive && g.State != client.GenerationStateRetired
		})
	})
	var now []string
	if !within(patience, func() bool { now = lb.everything(); return slices.Equal(now, before) }) {
		t.Errorf("HAProxy held\n%s\nand holds\n%s", strings.Join(before, "\n"), strings.Join(now, "\n"))
	}
	requests := f.clean(traffic)
	f.audit()
	report(t, "%d hostile names through the API: %d refused, taken %v; HAProxy holds what it held; %d requests meanwhile, 0 failed; %v",
		attempts, a.refused, a.accepted, requests, since(began))
}

// attempt asks for one thing with the text in it.
func (a *attacker) attempt(text string) {
	a.Helper()
	shop, instance := "/v1/environments/"+a.name, map[string]any{"id": "web-1", "address": a.backend.Address, "port": a.backend.Port}
	register := map[string]any{"version": "1", "groups": []any{map[string]any{"service": "web", "instances": []any{instance}}}}
	service := map[string]any{"name": "web", "hosts": []string{a.host}}
	spec := map[string]any{"services": []any{service}, "routers": []string{"edge"}}
	switch a.random.IntN(10) {
	case 0:
		a.refuses(text, http.MethodPut, "/v1/environments/"+url.PathEscape(text), spec)
	case 1:
		spec["name"] = text
		a.refuses(text, http.MethodPost, "/v1/environments", spec)
	case 2:
		service["name"] = text
		a.refuses(text, http.MethodPut, shop, spec)
	case 3:
		spec["routers"] = []string{text}
		a.refuses(text, http.MethodPut, shop, spec)
	case 4:
		a.hosts(text)
	case 5:
		register["groups"].([]any)[0].(map[string]any)["service"] = text
		a.refuses(text, http.MethodPost, shop+"/generations", register)
	case 6:
		instance["address"] = text
		a.registers("an address", register)
	case 7:
		instance["id"] = text
		a.registers("an id", register)
	case 8:
		register["version"] = text
		a.registers("a version", register)
	default:
		verb := []string{"/rollback", "/generations/1/promote", "/route", "/lock", "/generations/" + url.PathEscape(text)}[a.random.IntN(5)]
		a.refuses(text, http.MethodPost, "/v1/environments/"+url.PathEscape(text)+verb, map[string]any{"reason": text})
	}
}

// send sends the request, and checks that the answer is a success or names a mistake of the caller as a problem.
func (a *attacker) send(method, path string, body any) (status int, answer []byte) {
	a.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		a.Fatal(err)
	}
	q, err := http.NewRequestWithContext(a.Context(), method, "http://"+a.api, strings.NewReader(string(raw)))
	if err != nil {
		a.Fatal(err)
	}
	q.URL.Opaque = "//" + a.api + path // as it is
	q.Header.Set("Authorization", "Bearer "+a.token)
	q.Header.Set("Content-Type", "application/json")
	res, err := patient.Do(q)
	if err != nil {
		a.Fatalf("%s %.200q: %v", method, path, err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		a.Fatal(err)
	}
	problem := res.StatusCode >= 400 && res.StatusCode < 500 && strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json")
	if !problem && (res.StatusCode < 200 || res.StatusCode > 299) {
		a.Errorf("%s %.200q with %.300q is answered with %d %s: %.300s", method, path, raw, res.StatusCode, res.Header.Get("Content-Type"), answer)
	}
	if problem {
		a.refused++
	}
	return res.StatusCode, answer
}

// patient keeps its connections: thousands of new ones would be a proof of something else.
var patient = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// refuses wants a refusal, unless the text is a name like any other: then it is not sent.
func (a *attacker) refuses(text, method, path string, body any) {
	a.Helper()
	if rollout.ValidName(text) {
		a.accepted["harmless"]++
		return
	}
	if status, answer := a.send(method, path, body); status < 400 {
		a.Errorf("%s %.200q with %.100q is taken: %.300s", method, path, text, answer)
	}
}

// hosts gives the shop a hostile host beside its own. When that is taken, HAProxy leads it, and nothing else, there.
func (a *attacker) hosts(text string) {
	a.Helper()
	changed := map[string]any{}
	if err := json.Unmarshal(a.spec, &changed); err != nil {
		a.Fatal(err)
	}
	changed["services"].([]any)[0].(map[string]any)["hosts"] = []string{a.host, text}
	status, answer := a.send(http.MethodPut, "/v1/environments/"+a.name, changed)
	if status >= 400 {
		return
	}
	a.accepted["hosts"]++
	var taken struct {
		Spec struct{ Services []struct{ Hosts []string } }
	}
	if err := json.Unmarshal(answer, &taken); err != nil || len(taken.Spec.Services) != 1 {
		a.Fatalf("%v: %s", err, answer)
	}
	want := taken.Spec.Services[0].Hosts
	slices.Sort(want)
	a.eventually(fmt.Sprintf("the hosts of %.100q", text), func() bool { return slices.Equal(a.balancers[0].hosts(), want) })
	original := map[string]any{}
	if err := json.Unmarshal(a.spec, &original); err != nil {
		a.Fatal(err)
	}
	if status, answer := a.send(http.MethodPut, "/v1/environments/"+a.name, original); status >= 300 {
		a.Fatalf("the spec as it was is answered with %d: %s", status, answer)
	}
	a.eventually("the hosts as they were", func() bool { return slices.Equal(a.balancers[0].hosts(), []string{a.host}) })
}

// registers asks for a generation. One that is taken comes to HAProxy, as it was asked for, and is retired again.
func (a *attacker) registers(what string, body map[string]any) {
	a.Helper()
	if a.follows+a.more == 0 { // one mistake more, so that it cannot be taken
		body["groups"].([]any)[0].(map[string]any)["instances"].([]any)[0].(map[string]any)["port"] = 70000
	}
	status, answer := a.send(http.MethodPost, "/v1/environments/"+a.name+"/generations", body)
	if status >= 400 {
		return
	}
	a.accepted[what]++
	var g client.Generation
	if err := json.Unmarshal(answer, &g); err != nil {
		a.Fatal(err)
	}
	switch {
	case a.follows > 0 && what != "an address": // of that one HAProxy can only be told an IP
		a.follows--
		a.arrives(g.Number)
	case a.more > 0:
		a.more--
	default:
		a.Errorf("a generation with port 70000 is taken: %s", answer)
	}
	if status, answer := a.send(http.MethodPost, fmt.Sprintf("/v1/environments/%s/generations/%d/retire", a.name, g.Number), map[string]any{}); status >= 300 {
		a.Fatalf("retire: %d %s", status, answer)
	}
}

// arrives waits until HAProxy has the generation, with the backend as its one server.
func (a *attacker) arrives(number int) {
	a.Helper()
	lb, key, address := a.balancers[0], fmt.Sprintf("gen/%s/%d", a.name, number), fmt.Sprintf("%s:%d", a.backend.Address, a.backend.Port)
	a.eventually(key+" is staged", func() bool {
		slot := lb.value(key)
		var at []string
		for _, line := range lb.everything() {
			if fields := strings.Fields(line); slot != "" && len(fields) > 2 && fields[0] == "viridian.shop.web."+slot && fields[2] != "MAINT" {
				at = append(at, fields[1]+" "+fields[len(fields)-1])
			}
		}
		return slices.Contains(at, "s1 "+address) && !slices.ContainsFunc(at, func(s string) bool { return strings.HasPrefix(s, "s2 ") })
	})
}

// value is what the map has for the key; empty for nothing.
func (b *balancer) value(key string) string {
	answer, err := b.tell("show map " + b.path("viridian.map"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(answer) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == key {
			return strings.Join(fields[2:], " ")
		}
	}
	return ""
}

// keys are those of the map.
func (b *balancer) keys() []string {
	answer, err := b.tell("show map " + b.path("viridian.map"))
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(answer) {
		if fields := strings.Fields(line); len(fields) > 1 {
			out = append(out, fields[1])
		}
	}
	slices.Sort(out)
	return out
}

// hosts are those that lead to the web service of the shop.
func (b *balancer) hosts() []string {
	answer, err := b.tell("show map " + b.path("viridian.map"))
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(answer) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if host, ok := strings.CutPrefix(fields[1], "host/"); ok && strings.Join(fields[2:], " ") == "shop.web" {
			out = append(out, host)
		} else if ok {
			out = append(out, line) // of whom?
		}
	}
	slices.Sort(out)
	return out
}

// everything is what "show stat" and "show map" tell, without counters, times and the table of slots.
func (b *balancer) everything() []string {
	answer, err := b.tell("show stat")
	if err != nil {
		return nil
	}
	var out []string
	head := map[string]int{}
	for line := range strings.Lines(answer) {
		fields := strings.Split(strings.TrimPrefix(strings.TrimSpace(line), "# "), ",")
		if len(head) == 0 {
			for i, name := range fields {
				head[name] = i
			}
			continue
		}
		if len(fields) < len(head)-1 {
			continue
		}
		out = append(out, fmt.Sprint(fields[head["pxname"]], " ", fields[head["svname"]], " ", fields[head["status"]], " ", fields[head["weight"]], " ", fields[head["addr"]]))
	}
	out = append(out, b.keys()...)
	entry, _ := b.entry("shop")
	out = append(out, strings.Join(strings.SplitN(entry, "|", 6)[:min(5, strings.Count(entry, "|"))], "|"))
	slices.Sort(out)
	return out
}
