package builtin

import "strings"

// table is what the proxy does now. It never changes; a flip swaps the pointer to it.
type table struct {
	sites map[string]*site // by host, see hostKey
	// partial is true while the hosts of some environment are unknown because its state file could not be read.
	partial bool
}

// site is where the requests of one service go.
type site struct {
	environment string
	single      *pool // takes all traffic, when one generation has all the weight
	choices     []choice
}

// choice is a weighted generation. It takes the numbers from the choice before it to below, exclusive.
type choice struct {
	below int
	pool  *pool // nil when the generation has no instances of the service
}

// pick chooses a generation by weight; nil when there is none.
func (s *site) pick(random func(n int) int) *pool {
	if s.single != nil || len(s.choices) == 0 {
		return s.single
	}
	n := random(100)
	for _, c := range s.choices {
		if n < c.below {
			return c.pool
		}
	}
	return nil
}

// swapLocked builds the table of all environments and makes it the present one. Of a host that two environments
// claim, one that was spoken of in this run goes before one that is only known from a state file, which may be left
// over; between equals, the one that has it keeps it until it lets go.
func (r *Router) swapLocked() {
	next := &table{sites: map[string]*site{}, partial: len(r.bad) > 0}
	present := r.table.Load()
	for _, env := range r.environments {
		for host, s := range env.sites {
			if other, taken := next.sites[host]; taken && !r.yields(other, s, present, host) {
				continue
			}
			next.sites[host] = s
		}
	}
	r.table.Store(next)
}

// yields says whether the site that claimed the host has to give it to another claimant.
func (r *Router) yields(has, claims *site, present *table, host string) bool {
	if told := r.environments[claims.environment].told; told != r.environments[has.environment].told {
		return told
	}
	if present != nil && present.sites[host] != nil {
		switch present.sites[host].environment {
		case has.environment:
			return false
		case claims.environment:
			return true
		}
	}
	return claims.environment < has.environment
}

// hostKey is the form in which hosts are compared: lower case, without port and trailing dot.
func hostKey(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	for i := range len(host) {
		if c := host[i]; 'A' <= c && c <= 'Z' {
			return strings.ToLower(host)
		}
	}
	return host
}
