package haproxy

import (
	"fmt"
	"strings"
	"time"

	"viridian/rollout"
)

func (p *printer) head() {
	var names []string
	for _, e := range p.Environments {
		names = append(names, e.Name)
	}
	p.line("# Printed by: viridian haproxy-config %s", strings.Join(names, " "))
	p.line("#")
	p.line("# Viridian drives this HAProxy at run time. It needs a reload only when the number of slots or servers, or a health")
	p.line("# question changes; Viridian says so then. Hosts, generations and weights change without one.")
	p.line("#")
	p.line("# HAProxy does not start without the map file. Viridian and HAProxy must both be able to enter the folder:")
	p.line("#")
	p.line("#     mkdir -p %s && touch %s", p.Folder, p.mapFile())
	p.line("")
}

func (p *printer) global() {
	p.line("global")
	p.line("    # Viridian's way in. Whoever can write to it rules this HAProxy: keep the mode.")
	p.line("    stats socket %s %slevel admin expose-fd listeners", p.Socket, p.owner())
	p.line("    # A command that comes later than this after its connection is dropped. Viridian counts on 10 s at most.")
	p.line("    stats timeout 10s")
	if p.Init {
		p.line("    # Old processes of a reload keep their connections, and the map as it was, for no longer than this.")
		p.line("    hard-stop-after 1m")
		p.line("")
		p.line("defaults")
		p.line("    mode http")
		p.line("    timeout connect 3s")
		p.line("    timeout client 1m")
		p.line("    timeout server 1m")
		p.line("    timeout http-request 10s")
		p.line("    timeout queue 10s")
		p.line("    timeout tunnel 1h")
	}
	p.line("")
}

// owner is who may write to a socket.
func (p *printer) owner() string {
	if p.Group == "" {
		return "mode 660 "
	}
	return "group " + p.Group + " mode 660 "
}

func (p *printer) frontend() {
	p.line("frontend viridian-http")
	p.line("    bind %s", p.Listen)
	p.line("    # What clients claim of themselves is not believed.")
	p.line("    http-request set-header X-Forwarded-For %%[src]")
	p.line("    http-request set-header X-Forwarded-Proto %%[ssl_fc,iif(https,http)]")
	for line := range strings.Lines(p.rules()) {
		p.line("    %s", strings.TrimRight(line, "\n"))
	}
	p.line("    default_backend viridian-nobody")
	p.line("")
	p.line("# A host of no environment, or a slot that this configuration does not have.")
	p.line("backend viridian-nobody")
	p.line("    mode http")
	p.line("    http-request return status 404 content-type text/plain string \"no such host\\n\" unless { var(txn.viridian_site) -m found }")
	p.line("    http-request return status 503 content-type text/plain string \"no such slot\\n\"")
	p.line("")
}

// rules is the way of a request. Each looks up its host and then, once, what its environment does: so all of a request
// follows one revision.
func (p *printer) rules() string {
	text := `# Which service is asked for: "shop.web", by host in lower case without port and final dot.
http-request set-var(txn.viridian_host) req.hdr(host),host_only,lower,rtrim(.)
http-request set-var(txn.viridian_site) str(host/),concat(,txn.viridian_host),map_str(MAP)
# A preview of generation 42: by the header, or by the host g42.<host>.
http-request set-var(txn.viridian_preview) req.hdr(x-viridian-generation) if { var(txn.viridian_site) -m found } { req.hdr(x-viridian-generation) -m reg ^[1-9][0-9]{0,8}$ }
http-request set-var(txn.viridian_preview) var(txn.viridian_host),field(1,.),bytes(1) if !{ var(txn.viridian_site) -m found } { var(txn.viridian_host) -m reg ^g[1-9][0-9]{0,8}[.] }
http-request set-var(txn.viridian_host) var(txn.viridian_host),regsub(^g[0-9]+[.],) if !{ var(txn.viridian_site) -m found } { var(txn.viridian_preview) -m found }
http-request set-var(txn.viridian_site) str(host/),concat(,txn.viridian_host),map_str(MAP) if !{ var(txn.viridian_site) -m found } { var(txn.viridian_preview) -m found }
# What its environment does: revision|slot a|slot b|share of b in percent|…
http-request set-var(txn.viridian_env) var(txn.viridian_site),field(1,.)
http-request set-var(txn.viridian_route) str(env/),concat(,txn.viridian_env),map_str(MAP,0|0|0|0)
http-request set-var(txn.viridian_share) var(txn.viridian_route),field(4,|),add(0)
http-request set-var(txn.viridian_slot) var(txn.viridian_route),field(2,|)
http-request set-var(txn.viridian_slot) var(txn.viridian_route),field(3,|) if { rand(100),sub(txn.viridian_share) lt 0 }
http-request set-var(txn.viridian_slot) str(gen/),concat(,txn.viridian_env,/),concat(,txn.viridian_preview),map_str(MAP,0) if { var(txn.viridian_preview) -m found }
http-request return status 503 content-type text/plain string "no generation serves\n" if { var(txn.viridian_site) -m found } { var(txn.viridian_slot) -m str 0 }
use_backend viridian.%[var(txn.viridian_site)].%[var(txn.viridian_slot)] if { var(txn.viridian_site) -m found }
`
	return strings.ReplaceAll(text, "MAP", p.mapFile())
}

func (p *printer) fence() {
	text := `# Compares and sets one entry of the map, and never takes an environment to a lower revision. One thread: its requests
# follow one another. Never bind it where others can reach it.
frontend viridian-fence
    mode http
    bind unix@FENCE OWNERthread 1
    timeout client 10s
    timeout http-request 2s
    no log
    http-request set-var(txn.viridian_expect) req.fhdr(x-viridian-expect)
    http-request set-var(txn.viridian_holds) req.fhdr(x-viridian-key),map_str(MAP,none)
    http-request return status 409 content-type text/plain lf-string "%pid %[var(txn.viridian_holds)]" unless { var(txn.viridian_holds),strcmp(txn.viridian_expect) eq 0 }
    http-request set-var(txn.viridian_at) var(txn.viridian_holds),field(1,|),add(0) if { req.fhdr(x-viridian-key) -m beg env/ }
    http-request return status 409 content-type text/plain lf-string "%pid %[var(txn.viridian_holds)]" if { req.fhdr(x-viridian-value),field(1,|),sub(txn.viridian_at) lt 0 }
    http-request del-map(MAP) %[req.fhdr(x-viridian-key)] if { req.fhdr(x-viridian-value) none }
    http-request set-map(MAP) %[req.fhdr(x-viridian-key)] %[req.fhdr(x-viridian-value)] unless { req.fhdr(x-viridian-value) none }
    http-request return status 200 content-type text/plain lf-string "%pid %[req.fhdr(x-viridian-key),map_str(MAP,none)]"

`
	p.WriteString(strings.NewReplacer("MAP", p.mapFile(), "FENCE", p.Fence, "OWNER", p.owner()).Replace(text))
}

// environment prints the backends: one for each service and slot.
func (p *printer) environment(e Environment) {
	p.line("# Environment %s: %d slots for each service, one for each of %d standbys that are kept, and %d more.",
		e.Name, slotsOf(e), e.Spec.Retention.KeepGenerations, spareSlots)
	p.line("")
	for _, svc := range e.Spec.Services {
		if svc.Protocol == protocolTCP {
			p.listener(e, svc)
		}
		p.line("# Tells Viridian which health question the backends below ask.")
		p.line("backend %s%s.%s%s", prefix, siteName(e.Name, svc.Name), asks, sumOfQuestion(svc))
		p.line("    mode %s", mode(svc))
		p.line("")
		for slot := range slotsOf(e) {
			p.backend(e, svc, slot+1)
		}
	}
}

func mode(svc rollout.Service) string {
	if svc.Protocol == protocolTCP {
		return protocolTCP
	}
	return "http"
}

// listener is the frontend of a tcp service, which has no hosts to tell it by.
func (p *printer) listener(e Environment, svc rollout.Service) {
	text := `# The same as for http, but a connection stays with its generation. What is open at a flip is cut when the drain is over.
frontend viridian.SITE
    mode tcp
    bind BIND
    tcp-request content set-var(txn.viridian_route) str(env/ENV),map_str(MAP,0|0|0|0)
    tcp-request content set-var(txn.viridian_share) var(txn.viridian_route),field(4,|),add(0)
    tcp-request content set-var(txn.viridian_slot) var(txn.viridian_route),field(2,|)
    tcp-request content set-var(txn.viridian_slot) var(txn.viridian_route),field(3,|) if { rand(100),sub(txn.viridian_share) lt 0 }
    tcp-request content reject if { var(txn.viridian_slot) -m str 0 }
    use_backend viridian.SITE.%[var(txn.viridian_slot)]

`
	p.WriteString(strings.NewReplacer("SITE", siteName(e.Name, svc.Name), "BIND", p.Binds[e.Name+"/"+svc.Name], "ENV", e.Name,
		"MAP", p.mapFile()).Replace(text))
}

func (p *printer) backend(e Environment, svc rollout.Service, slot int) {
	h, name := svc.Health, backendName(e.Name, svc.Name, slot)
	note := func(text string) {
		if slot == 1 {
			p.line("    # %s", text)
		}
	}
	p.line("backend %s", name)
	p.line("    mode %s", mode(svc))
	p.line("    balance roundrobin")
	if h.Type == rollout.HealthHTTP {
		p.line("    option httpchk")
		p.line("    http-check send meth GET uri %s ver HTTP/1.1 hdr Host %s hdr User-Agent viridian-probe", quote(h.Path),
			e.Spec.EffectiveHosts(e.Name, svc)[0])
		p.line("    http-check expect status %s", expected(h.ExpectStatus))
	}
	p.line("    timeout check %s", milliseconds(h.Timeout))
	note("An instance that refuses a connection is passed over; what is safe to repeat is repeated.")
	p.line("    option redispatch 1")
	p.line("    retries 3")
	if svc.Protocol != protocolTCP {
		p.line("    retry-on conn-failure empty-response")
		p.line("    http-request disable-l7-retry unless METH_GET")
		note("Previews lead to code that nobody has validated.")
		p.line("    http-request deny deny_status 403 if { var(txn.viridian_preview) -m found }%s", unless(e.Spec.Networks.PreviewAllow))
	}
	note("Viridian gives the servers their addresses, and keeps them in the state file for a restart.")
	p.line("    load-server-state-from-file local")
	p.line("    server-state-file-name %s/%s", p.Folder, stateName(name))
	p.line("    default-server inter %s fastinter %[1]s downinter %[1]s rise %d fall %d", milliseconds(h.Interval), h.HealthyAfter, h.UnhealthyAfter)
	p.line("    server-template %s 1-%d unset.viridian.invalid:%d check disabled init-addr last,%s", serverName, p.Servers, nowherePort, nowhere)
	p.line("")
}

// unless excepts the networks from a rule.
func unless(networks []string) string {
	if len(networks) == 0 {
		return ""
	}
	return " !{ src " + strings.Join(networks, " ") + " }"
}

// milliseconds writes a span as HAProxy reads it.
func milliseconds(d rollout.Duration) string {
	return fmt.Sprintf("%dms", max(d.Std()/time.Millisecond, 1))
}
