package haproxy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// layout is what the configuration of one run of HAProxy offers us. It does not change while the run lasts.
type layout struct {
	incarnation string
	mapFile     string                      // as HAProxy names it
	slots       map[string]map[string][]int // environment → service → numbers of its slots, in order
	asks        map[string]string           // site name → sum of the health question it was printed with
}

var (
	listedMap      = regexp.MustCompile(`^\d+ \((.*)\) pattern loaded from file `)
	errNoMap       = errors.New("the HAProxy configuration does not use " + mapName + ": print what it needs with viridian haproxy-config")
	errTwoMaps     = errors.New("the HAProxy configuration uses more than one " + mapName)
	errNotDeclared = errors.New("the HAProxy configuration does not have it: print it anew with viridian haproxy-config, and reload")
)

// readLayout reads the answers to "show map" and "show backend".
func readLayout(incarnation, maps, backends string) (*layout, error) {
	l := &layout{incarnation: incarnation, slots: map[string]map[string][]int{}, asks: map[string]string{}}
	for line := range strings.Lines(maps) {
		found := listedMap.FindStringSubmatch(line)
		switch {
		case found == nil || !isOurMap(found[1]):
		case l.mapFile != "":
			return nil, errTwoMaps
		default:
			l.mapFile = found[1]
		}
	}
	if l.mapFile == "" {
		return nil, errNoMap
	}
	for line := range strings.Lines(backends) {
		environment, service, last, ok := splitBackend(strings.TrimSpace(line))
		if !ok {
			continue
		}
		if question, ok := strings.CutPrefix(last, asks); ok {
			l.asks[siteName(environment, service)] = question
		} else if n, err := strconv.Atoi(last); err == nil && n > 0 {
			if l.slots[environment] == nil {
				l.slots[environment] = map[string][]int{}
			}
			l.slots[environment][service] = append(l.slots[environment][service], n)
		}
	}
	for _, services := range l.slots {
		for _, numbers := range services {
			slices.Sort(numbers)
		}
	}
	return l, nil
}

// backends lists the slot backends of an environment.
func (l *layout) backends(environment string) []string {
	var out []string
	for service, numbers := range l.slots[environment] {
		for _, n := range numbers {
			out = append(out, backendName(environment, service, n))
		}
	}
	slices.Sort(out)
	return out
}

// has says whether the slot has a backend for the service.
func (l *layout) has(environment, service string, slot int) bool {
	return slices.Contains(l.slots[environment][service], slot)
}

// common lists the slots that all the services have.
func (l *layout) common(environment string, services []string) ([]int, error) {
	var out []int
	for i, service := range services {
		numbers := l.slots[environment][service]
		if len(numbers) == 0 {
			return nil, fmt.Errorf("environment %s, service %s: %w", environment, service, errNotDeclared)
		}
		if i == 0 {
			out = slices.Clone(numbers)
			continue
		}
		out = slices.DeleteFunc(out, func(n int) bool { return !slices.Contains(numbers, n) })
	}
	return out, nil
}
