package haproxy

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"viridian/rollout"
)

// The names of what HAProxy holds for us. Environments and services are DNS labels, so that a dot parts them.
const (
	prefix     = "viridian." // of every backend
	mapName    = "viridian.map"
	envKey     = "env/"  // + environment: its entry
	siteKey    = "host/" // + host: "<environment>.<service>"
	previewKey = "gen/"  // + environment/number: the slot of a staged generation
	asks       = "asks-" // in place of a slot: the empty backend that names the printed health question
	serverName = "s"     // + number from 1
)

// The address of a server that has none: of TEST-NET-1 (RFC 5737), which leads nowhere.
const (
	nowhere     = "192.0.2.1"
	nowherePort = 9
)

func siteName(environment, service string) string { return environment + "." + service }

func backendName(environment, service string, slot int) string {
	return prefix + siteName(environment, service) + "." + strconv.Itoa(slot)
}

func previewKeyOf(environment string, generation int) string {
	return previewKey + environment + "/" + strconv.Itoa(generation)
}

// splitBackend reads the name of one of our backends: the last part is a slot's number, or [asks] and a sum.
func splitBackend(name string) (environment, service, last string, ok bool) {
	rest, ours := strings.CutPrefix(name, prefix)
	parts := strings.Split(rest, ".")
	if !ours || len(parts) != 3 || !rollout.ValidName(parts[0]) || !rollout.ValidName(parts[1]) {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// checkNames refuses what could be no part of a name or a key.
func checkNames(environment string, services []rollout.RouteService) error {
	if !rollout.ValidName(environment) {
		return fmt.Errorf("%.80q is not the name of an environment", environment)
	}
	for _, svc := range services {
		if !rollout.ValidName(svc.Name) {
			return fmt.Errorf("environment %s: %.80q is not the name of a service", environment, svc.Name)
		}
		if svc.UpstreamTLS {
			return fmt.Errorf("service %s: TLS to instances is not supported here", svc.Name)
		}
		for _, host := range svc.Hosts {
			if key := hostKey(host); !plainHost.MatchString(key) {
				return fmt.Errorf("service %s: %.80q is not a host", svc.Name, host)
			}
		}
	}
	return nil
}

// stateName is the name of the state file of a backend, beside the map file.
func stateName(backend string) string { return backend + ".state" }

func isOurMap(file string) bool { return path.Base(file) == mapName }
