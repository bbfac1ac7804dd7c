package consul_test

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// lookup asks Consul's DNS for the SRV records of a service's query, as dig would, and returns host:port of each answer.
func lookup(server, service string) ([]string, error) {
	m := new(dns.Msg).SetQuestion(service+".query.consul.", dns.TypeSRV)
	m.SetEdns0(4096, false)
	client := &dns.Client{Timeout: 10 * time.Second}
	in, _, err := client.Exchange(m, server)
	if err == nil && in.Truncated {
		client.Net = "tcp"
		in, _, err = client.Exchange(m, server)
	}
	if err != nil {
		return nil, err
	}
	if in.Rcode != dns.RcodeSuccess && in.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("DNS answers %s", dns.RcodeToString[in.Rcode])
	}
	addresses := map[string]string{}
	for _, extra := range in.Extra {
		if a, ok := extra.(*dns.A); ok {
			addresses[a.Hdr.Name] = a.A.String()
		}
	}
	var out []string
	for _, answer := range in.Answer {
		srv, ok := answer.(*dns.SRV)
		if !ok || addresses[srv.Target] == "" {
			return nil, fmt.Errorf("DNS answers %v with %v", answer, in.Extra)
		}
		if answer.Header().Ttl != 0 {
			return nil, fmt.Errorf("DNS lets its answer be kept for %d s", answer.Header().Ttl)
		}
		out = append(out, net.JoinHostPort(addresses[srv.Target], strconv.Itoa(int(srv.Port))))
	}
	return out, nil
}
