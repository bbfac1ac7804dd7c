package rollout

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of a specification.
const (
	maxServices    = 32
	maxHosts       = 64
	maxNetworks    = 64
	maxRouters     = 16 // as in openapi.yaml
	maxStatuses    = 20
	maxDescription = 1000
	maxPath        = 1024
	longestTimeout = time.Minute
	shortest       = time.Second
	longest        = 24 * time.Hour
	unbounded      = time.Duration(1<<63 - 1)
)

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidName says whether s may name an environment, a service, a router, a registry or a token: lower-case letters,
// digits and inner hyphens, 1 to 63 characters (a DNS label, RFC 1123 §2.1). It is Name of openapi.yaml.
func ValidName(s string) bool { return nameForm.MatchString(s) }

// specValidator holds a decoded specification against its bounds and against what is built.
type specValidator struct {
	*specErrors
}

func (v *specValidator) validate(s *Spec) {
	if n := utf8.RuneCountInString(s.Description); n > maxDescription {
		v.invalid("/description", "has %d characters; at most %d are allowed", n, maxDescription)
	}
	if strings.ContainsFunc(s.Description, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		v.invalid("/description", "contains a control character")
	}
	v.services(s.Services, s.Routers)
	v.routers(s.Routers)
	if !ValidName(s.Registry) {
		v.invalid("/registry", "must be the name of a registry, such as \"static\"")
	} else if !slices.Contains(registries, s.Registry) { // whether the installation has it, CheckRegistry tells
		v.unsupported("/registry", "is not supported yet; use \"static\" or \"consul\"")
	}
	v.validation(s.Validation)
	v.promotion(s.Promotion)
	v.bake(s.Bake)
	v.retention(s.Retention)
	v.empty("/requires", s.Requires)
	v.networks(s.Networks, s.Routers)
}

func (v *specValidator) services(services []Service, routers []string) {
	if len(services) < 1 || len(services) > maxServices {
		v.invalid("/services", "must list 1 to %d services, not %d", maxServices, len(services))
		return
	}
	names, catalog, hosts := map[string]string{}, map[string]string{}, map[string]string{}
	for i := range services {
		at := pointerTo("/services", strconv.Itoa(i))
		svc := &services[i]
		switch {
		case svc.Name == "":
			v.invalid(at+"/name", "is required")
		case !ValidName(svc.Name):
			v.invalid(at+"/name", "must be 1 to 63 of a-z, 0-9 and -, and neither begin nor end with -")
		default:
			v.unique(names, svc.Name, at+"/name")
		}
		switch {
		case svc.CatalogName == "":
		case !ValidName(svc.CatalogName):
			v.invalid(at+"/catalog_name", "must be 1 to 63 of a-z, 0-9 and -, and neither begin nor end with -")
		default:
			v.unique(catalog, svc.CatalogName, at+"/catalog_name")
		}
		if len(svc.Hosts) > maxHosts {
			v.invalid(at+"/hosts", "lists %d hosts; at most %d are allowed", len(svc.Hosts), maxHosts)
			continue
		}
		for j, host := range svc.Hosts {
			pointer := pointerTo(at+"/hosts", strconv.Itoa(j))
			svc.Hosts[j] = strings.ToLower(host)
			if problem := hostProblem(svc.Hosts[j]); problem != "" {
				v.invalid(pointer, "%s", problem)
			} else {
				v.unique(hosts, svc.Hosts[j], pointer)
			}
		}
		switch {
		case svc.Protocol == "tcp" && slices.Contains(routers, Builtin):
			v.unsupported(at+"/protocol", "tcp is not what the router \"builtin\" can; leave that out of routers, or use \"http\"")
		case svc.Protocol != "http" && svc.Protocol != "tcp":
			v.invalid(at+"/protocol", "must be \"http\" or \"tcp\"")
		}
		if svc.UpstreamTLS {
			v.unsupported(at+"/upstream_tls", "is not supported yet; leave it out or set it to false")
		}
		v.health(at+"/health", svc.Health)
	}
}

// unique records the second use of a word; seen maps words to the pointer of their first use.
func (v *specValidator) unique(seen map[string]string, word, pointer string) {
	if first, taken := seen[word]; taken {
		v.invalid(pointer, "%q is already used at %s", word, first)
		return
	}
	seen[word] = pointer
}

// hostProblem says what keeps a lower-case text from being a host name as in RFC 1123, or "".
func hostProblem(host string) string {
	switch {
	case strings.Contains(host, ":"):
		return "must be a host name without scheme, port or colon"
	case strings.Contains(host, "*"):
		return "must be a whole host name; wildcards are not possible"
	case len(host) < 1 || len(host) > 253:
		return "must be a host name of 1 to 253 characters"
	}
	for label := range strings.SplitSeq(host, ".") {
		if !ValidName(label) {
			return "must be a host name: labels of 1 to 63 letters, digits and - between dots, other scripts as xn--…"
		}
	}
	return ""
}

func (v *specValidator) health(at string, h Health) {
	usual := defaultService().Health
	switch {
	case h.Type == HealthHTTP || v.seen[at+"/type"]:
	case h.Type == HealthTCP:
		if h.Path != usual.Path {
			v.invalid(at+"/path", "counts only with \"type\": \"http\"; add that or leave it out")
		}
		if !slices.Equal(h.ExpectStatus, usual.ExpectStatus) {
			v.invalid(at+"/expect_status", "counts only with \"type\": \"http\"; add that or leave it out")
		}
	default:
		v.invalid(at+"/type", "must be \"tcp\" or \"http\"")
	}
	v.path(at+"/path", h.Path)
	if len(h.ExpectStatus) < 1 || len(h.ExpectStatus) > maxStatuses {
		v.invalid(at+"/expect_status", "must list 1 to %d statuses or ranges", maxStatuses)
	}
	v.span(at+"/interval", h.Interval, 100*time.Millisecond, time.Hour)
	// Never below the default timeout, so that a short interval alone is a complete wish.
	v.span(at+"/timeout", h.Timeout, 50*time.Millisecond, min(max(h.Interval.Std(), usual.Timeout.Std()), longestTimeout))
	v.number(at+"/healthy_after", h.HealthyAfter, 1, 100)
	v.number(at+"/unhealthy_after", h.UnhealthyAfter, 1, 100)
}

func (v *specValidator) path(at, path string) {
	switch {
	case !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//"):
		v.invalid(at, "must begin with one /")
	case len(path) > maxPath:
		v.invalid(at, "has %d bytes; at most %d are allowed", len(path), maxPath)
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }):
		v.invalid(at, "must be printable ASCII without spaces and #; write others as %%20")
	default:
		if _, err := url.ParseRequestURI(path); err != nil {
			v.invalid(at, "must be the path of a URL, with %% only before two hexadecimal digits")
		}
	}
}

func (v *specValidator) routers(routers []string) {
	if len(routers) == 0 || len(routers) > maxRouters {
		v.invalid("/routers", "must name at least one router, such as \"builtin\", and at most %d", maxRouters)
		return
	}
	seen := map[string]string{}
	for i, name := range routers {
		at := pointerTo("/routers", strconv.Itoa(i))
		if !ValidName(name) {
			v.invalid(at, "must be the name of a router, such as \"builtin\"")
			continue
		}
		v.unique(seen, name, at) // whether the installation has it, CheckRouters tells
	}
}

func (v *specValidator) validation(s Validation) {
	v.span("/validation/timeout", s.Timeout, shortest, longest)
	v.span("/validation/valid_for", s.ValidFor, shortest, unbounded)
	v.number("/validation/min_healthy_percent", s.MinHealthyPercent, 1, 100)
	v.number("/validation/min_capacity_percent", s.MinCapacityPercent, 0, 1000)
	v.empty("/validation/checks", s.Checks)
}

func (v *specValidator) promotion(s Intake) {
	switch s.Intake {
	case IntakeQueue:
	case "supersede", "reject":
		v.unsupported("/promotion/intake", "%q is not supported yet; use \"queue\"", s.Intake)
	default:
		v.invalid("/promotion/intake", "must be \"queue\"")
	}
	v.empty("/promotion/steps", s.Steps)
	v.empty("/promotion/checks", s.Checks)
}

func (v *specValidator) bake(s Bake) {
	usual := defaultSpec().Bake
	if s.Duration != usual.Duration {
		v.unsupported("/bake/duration", "is not supported yet; leave it out or set it to \"%s\"", usual.Duration)
	}
	if s.Interval != usual.Interval {
		v.unsupported("/bake/interval", "is not supported yet; leave it out or set it to \"%s\"", usual.Interval)
	}
	v.empty("/bake/checks", s.Checks)
	switch s.OnFailure {
	case usual.OnFailure:
	case "hold":
		v.unsupported("/bake/on_failure", "\"hold\" is not supported yet; use %q", usual.OnFailure)
	default:
		v.invalid("/bake/on_failure", "must be %q", usual.OnFailure)
	}
}

func (v *specValidator) retention(s Retention) {
	v.span("/retention/keep_for", s.KeepFor, 0, unbounded)
	v.number("/retention/keep_generations", s.KeepGenerations, 0, 10)
	v.span("/retention/drain", s.Drain, 0, longest)
}

func (v *specValidator) networks(s Networks, routers []string) {
	v.prefixes("/networks/check_allow", s.CheckAllow)
	v.prefixes("/networks/preview_allow", s.PreviewAllow)
	if len(s.CheckAllow) > 0 {
		v.unsupported("/networks/check_allow", "is not supported yet, as there are no checks that could call out; leave it out")
	}
	if usual := defaultSpec().Networks.PreviewAllow; !slices.Equal(s.PreviewAllow, usual) && slices.Contains(routers, Builtin) {
		v.unsupported("/networks/preview_allow", "is not supported yet, as the router \"builtin\" has no previews; leave it out, or that out of routers")
	}
}

func (v *specValidator) prefixes(at string, cidrs []string) {
	if len(cidrs) > maxNetworks {
		v.invalid(at, "lists %d networks; at most %d are allowed", len(cidrs), maxNetworks)
		return
	}
	for i, cidr := range cidrs {
		if prefix, err := netip.ParsePrefix(cidr); err != nil || prefix != prefix.Masked() {
			v.invalid(pointerTo(at, strconv.Itoa(i)), "must be a network such as \"10.0.0.0/8\", with no bits set after the prefix")
		}
	}
}

// empty records a list that must be left empty until what it asks for is built.
func (v *specValidator) empty(at string, list []any) {
	if len(list) > 0 {
		v.unsupported(at, "is not supported yet; leave it out or give []")
	}
}

func (v *specValidator) span(at string, d Duration, low, high time.Duration) {
	switch {
	case d.Std()%time.Millisecond != 0:
		v.invalid(at, "must be a whole number of milliseconds")
	case d.Std() >= low && d.Std() <= high:
	case high == unbounded:
		v.invalid(at, "must be at least %s", Duration(low))
	default:
		v.invalid(at, "must be %s to %s", Duration(low), Duration(high))
	}
}

func (v *specValidator) number(at string, n, low, high int) {
	if n < low || n > high {
		v.invalid(at, "must be %d to %d", low, high)
	}
}
