package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"viridian/client"
)

// guide is what dev prints once everything runs: where things are and what to try.
type guide struct {
	api, proxy  string // base URLs
	link        string // of the pages; signs in once
	token, data string
	consul      string              // which one is used
	generations []client.Generation // of the demo; none for --empty
	third       client.RegisterRequest
}

var guideText = template.Must(template.New("guide").Parse(`
Viridian is running. Ctrl-C stops everything; the data stays in {{.Data}}.

  pages        {{.Link}}
               signs you in once, within 15 minutes; later by the token below
  API          {{.API}}      its contract, to read: {{.API}}/docs
  traffic      {{.Proxy}}
  Consul       {{.Consul}}
{{- if .Generations}}
  demo         http://` + demoSite + `:{{.ProxyPort}}   in a browser, or by curl as below
{{range .Generations}}
  generation {{.Number}}   {{printf "%-8s" .Version}} {{printf "%-10s" .State}} {{.Colour}}
{{- end}}
{{- if .Unregistered}}
  A third build runs on ports {{.Ports}}, and nobody has registered it yet.
{{- end}}
{{- end}}

Try this in a second terminal:

  export TOKEN={{.Token}}
  api() { curl -sS -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$@"; }
{{if .Generations}}
  # what a customer sees
  curl -s -H 'Host: ` + demoSite + `' {{.Proxy}}

{{- if .Standby}}

  # move all traffic back to generation {{.Standby}}, which is kept warm
  api -X POST {{.API}}/v1/environments/` + demoEnvironment + `/rollback -d '{"to": {{.Standby}}, "reason": "just looking"}'
{{- end}}
{{- if .Stopped}}

  # have generation {{.Stopped}} validated again, which takes a second
  api -X POST {{.API}}/v1/environments/` + demoEnvironment + `/generations/{{.Stopped}}/validate
{{- end}}
{{- if .Next}}

  # move all traffic to generation {{.Next}}, and back
  api -X POST {{.API}}/v1/environments/` + demoEnvironment + `/generations/{{.Next}}/promote -d '{"reason": "release {{.Next}}"}'
  api -X POST {{.API}}/v1/environments/` + demoEnvironment + `/rollback -d '{"from": {{.Next}}, "reason": "just looking"}'
{{- end}}
{{- if .Unregistered}}

  # register the third build, and promote it once it is ready, which takes a second
  api -X POST {{.API}}/v1/environments/` + demoEnvironment + `/generations -d '{{.Third}}'
  api -X POST {{.API}}/v1/environments/` + demoEnvironment + `/generations/{{.After}}/promote -d '{}'
{{- end}}

  # where things stand, and what happened
  api {{.API}}/v1/environments/` + demoEnvironment + `/route
  api {{.API}}/v1/events
{{else}}
  api {{.API}}/v1/environments -d '{"name": "shop", "services": [{"name": "web"}]}'
{{end}}
`))

func (g *guide) print(w io.Writer) error {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(g.proxy, "http://"))
	if err != nil {
		return err
	}
	view := struct {
		API, Link, Proxy, ProxyPort, Token, Data string
		Consul                                   string
		Generations                              []client.Generation
		steps
		After        int // the number that a new generation will have
		Unregistered bool
		Third, Ports string
	}{API: g.api, Link: g.link, Proxy: g.proxy, ProxyPort: port, Consul: g.consul, Token: g.token, Data: filepath.Clean(g.data), Generations: g.generations, steps: stepsFrom(g.generations), Unregistered: true}
	for _, gen := range g.generations {
		view.After = max(view.After, gen.Number+1)
		view.Unregistered = view.Unregistered && gen.Version != g.third.Version
	}
	view.Third, view.Ports = describe(g.third)
	var out bytes.Buffer
	if err := guideText.Execute(&out, view); err != nil {
		return err
	}
	_, err = w.Write(out.Bytes())
	return err
}

// steps are the generations to try something with; 0 for none.
type steps struct {
	Next    int // to promote
	Stopped int // the same, when it has to be validated first
	Standby int // to roll back to, when there is nothing to promote
}

// stepsFrom finds what works from where the reader left off. The newest of each state is taken.
func stepsFrom(generations []client.Generation) steps {
	newest := map[client.GenerationState]int{}
	for _, g := range generations {
		newest[g.State] = max(newest[g.State], g.Number)
	}
	s := steps{Next: newest["ready"]}
	if s.Next == 0 {
		s.Standby = newest["standby"]
	}
	if s.Next == 0 && s.Standby == 0 {
		s.Stopped = max(newest["rejected"], newest["failed"])
		s.Next = s.Stopped
	}
	return s
}

// describe writes a registration over a few lines, and lists its ports.
func describe(r client.RegisterRequest) (body, ports string) {
	var lines, numbers []string
	for _, group := range r.Groups {
		for _, in := range group.Instances {
			one, _ := json.Marshal(in) // strings and numbers
			lines = append(lines, "      "+string(one))
			numbers = append(numbers, strconv.Itoa(in.Port))
		}
		body = fmt.Sprintf("{\"version\": %q,\n    \"groups\": [{\"service\": %q, \"instances\": [\n%s]}]}",
			r.Version, group.Service, strings.Join(lines, ",\n"))
	}
	return body, strings.Join(numbers, ", ")
}

// localURL is where a listener of this machine can be asked: on the loopback address when it is on all.
func localURL(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return "http://" + at.String()
}
