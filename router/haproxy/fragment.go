package haproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
)

// Config says what [Fragment] prints.
type Config struct {
	Environments []Environment
	// Folder holds viridian.map and the state files, as HAProxy reaches it; Socket and Fence are the paths of the
	// runtime socket and of the fence's. The defaults are the constants below. NoFence leaves the fence out.
	Folder, Socket, Fence string
	NoFence               bool
	// Group owns both sockets; "" leaves them to the group that HAProxy starts as, which mostly is root's.
	Group string
	// Servers is how many instances of a service a slot can hold; DefaultServers when 0.
	Servers int
	// Binds are the listeners of tcp services by "environment/service", such as ":5432".
	Binds map[string]string
	// Init makes it a whole configuration, which listens for HTTP at Listen.
	Init   bool
	Listen string
}

// The defaults of [Config].
const (
	DefaultFolder  = "/var/lib/haproxy/viridian"
	DefaultSocket  = "/run/haproxy/viridian.sock"
	DefaultFence   = "/run/haproxy/viridian-fence.sock"
	DefaultServers = 16
	DefaultListen  = ":80"
	maxServers     = 1000
)

// spareSlots is how many slots there are beside one for each standby that is kept: for the live generation, a
// candidate, and one that is being emptied.
const spareSlots = 3

// Environment is one environment that the configuration is for.
type Environment struct {
	Name string
	Spec rollout.Spec
}

var groupName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)

func (c *Config) complete() error {
	for text, preset := range map[*string]string{&c.Folder: DefaultFolder, &c.Socket: DefaultSocket, &c.Fence: DefaultFence, &c.Listen: DefaultListen} {
		if *text == "" {
			*text = preset
		}
	}
	if c.Servers == 0 {
		c.Servers = DefaultServers
	}
	if c.Servers < 1 || c.Servers > maxServers {
		return fmt.Errorf("a slot holds 1 to %d servers, not %d", maxServers, c.Servers)
	}
	for _, text := range []string{c.Folder, c.Socket, c.Fence} {
		if !path.IsAbs(text) || !isSafe(text) {
			return fmt.Errorf("%q must be an absolute path of letters, digits and . _ / -", text)
		}
	}
	if c.Group != "" && !groupName.MatchString(c.Group) {
		return fmt.Errorf("%q is not the name of a group", c.Group)
	}
	if len(c.Environments) == 0 {
		return errors.New("there is no environment to print anything for")
	}
	for _, bind := range append(slices.Collect(maps.Values(c.Binds)), c.Listen) {
		if !isSafe(bind) || !strings.Contains(bind, ":") {
			return fmt.Errorf("%q is not an address to listen at, such as :80 or 10.0.0.5:5432", bind)
		}
	}
	for _, e := range c.Environments {
		if err := c.check(e); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) check(e Environment) error {
	var services []rollout.RouteService
	for _, svc := range e.Spec.Services {
		services = append(services, rollout.RouteService{Service: svc, Hosts: e.Spec.EffectiveHosts(e.Name, svc)})
		if path := svc.Health.Path; svc.Health.Type == rollout.HealthHTTP && (!strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' })) {
			return fmt.Errorf("service %s of environment %s: %.80q is not a path to ask for", svc.Name, e.Name, path)
		}
	}
	for _, network := range e.Spec.Networks.PreviewAllow {
		if _, err := netip.ParsePrefix(network); err != nil {
			return fmt.Errorf("environment %s: %.80q is not a network", e.Name, network)
		}
	}
	return checkNames(e.Name, services)
}

// checkBinds wants an address for each tcp service.
func (c *Config) checkBinds() error {
	for _, e := range c.Environments {
		for _, svc := range e.Spec.Services {
			if name := e.Name + "/" + svc.Name; svc.Protocol == protocolTCP && c.Binds[name] == "" {
				return fmt.Errorf("service %s of environment %s is of protocol tcp and needs an address to listen at: --bind %s=:5432", svc.Name, e.Name, name)
			}
		}
	}
	return nil
}

// Fragment prints the configuration that a [Node] needs: sections to load beside an haproxy.cfg with a second -f, and
// the rules for its frontends as a comment; or with Init a whole haproxy.cfg. "haproxy -c" accepts it once the map file
// is there.
func Fragment(w io.Writer, c Config) error {
	if err := errors.Join(c.complete(), c.checkBinds()); err != nil {
		return err
	}
	p := &printer{Config: c}
	p.head()
	p.global()
	if c.Init {
		p.frontend()
	} else {
		p.line("# The rules for your frontends. Print them alone with --rules.")
		for line := range strings.Lines(p.rules()) {
			p.line("# %s", strings.TrimRight(line, "\n"))
		}
		p.line("")
	}
	if !c.NoFence {
		p.fence()
	}
	for _, e := range c.Environments {
		p.environment(e)
	}
	_, err := w.Write(p.Bytes())
	return err
}

// Rules prints the part for the frontends of an haproxy.cfg. It is the same whatever the environments are, and asks for
// no listeners.
func Rules(w io.Writer, c Config) error {
	if err := c.complete(); err != nil {
		return err
	}
	_, err := io.WriteString(w, (&printer{Config: c}).rules())
	return err
}

// printer puts the text together.
type printer struct {
	Config
	bytes.Buffer
}

func (p *printer) line(format string, args ...any) {
	_, _ = fmt.Fprintf(p, format+"\n", args...) // into memory
}

func (p *printer) mapFile() string { return path.Join(p.Folder, mapName) }

// quote makes one word of a text for HAProxy's configuration parser.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// slotsOf is the number of slots that the environment's services are given.
func slotsOf(e Environment) int { return e.Spec.Retention.KeepGenerations + spareSlots }

// sumOfQuestion names how a service is checked: what HAProxy is printed with, and cannot be told anew at run time.
func sumOfQuestion(svc rollout.Service) string {
	protocol := svc.Protocol
	if protocol == "" {
		protocol = "http"
	}
	h := svc.Health
	words := []string{protocol, string(h.Type), h.Interval.String(), h.Timeout.String(), strconv.Itoa(h.HealthyAfter), strconv.Itoa(h.UnhealthyAfter)}
	if h.Type == rollout.HealthHTTP {
		words = append(words, h.Path, expected(h.ExpectStatus))
	}
	return sum(words...)
}

// expected writes statuses as "http-check expect status" reads them.
func expected(ranges []rollout.StatusRange) string {
	var words []string
	for _, r := range ranges {
		if r.From == r.To {
			words = append(words, strconv.Itoa(r.From))
		} else {
			words = append(words, fmt.Sprintf("%d-%d", r.From, r.To))
		}
	}
	return strings.Join(words, ",")
}
