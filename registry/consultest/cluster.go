package consultest

import (
	"strconv"
	"testing"
	"time"
)

// Cluster is three servers on loopback that elect a leader.
type Cluster struct {
	Servers [3]*Agent
	t       testing.TB
}

// ThreeServers starts a cluster and waits until every server can be written to.
func ThreeServers(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	var join []string
	for i := range c.Servers {
		a := newAgent(t, map[string]any{"server": true, "bootstrap_expect": 3, "data_dir": t.TempDir(), "connect": map[string]any{"enabled": true}})
		c.Servers[i] = a
		join = append(join, "127.0.0.1:"+strconv.Itoa(a.ports[3]))
	}
	for _, a := range c.Servers {
		a.config["retry_join"], a.config["retry_interval"] = join, "500ms"
		a.run()
	}
	for _, a := range c.Servers {
		a.AwaitLeader()
	}
	return c
}

// Leader is the server that leads now; nil while there is none that all agree on.
func (c *Cluster) Leader() *Agent {
	c.t.Helper()
	for _, asked := range c.Servers {
		if asked.cmd == nil {
			continue
		}
		leader, err := asked.Client(asked.Token).Status().Leader()
		if err != nil {
			continue
		}
		for _, a := range c.Servers {
			if a.cmd != nil && leader == "127.0.0.1:"+strconv.Itoa(a.ports[2]) {
				return a
			}
		}
	}
	return nil
}

// Followers are the servers that run and do not lead.
func (c *Cluster) Followers() []*Agent {
	c.t.Helper()
	tick, deadline := time.NewTicker(25*time.Millisecond), time.Now().Add(patience)
	defer tick.Stop()
	for {
		if leader := c.Leader(); leader != nil {
			var out []*Agent
			for _, a := range c.Servers {
				if a != leader && a.cmd != nil {
					out = append(out, a)
				}
			}
			return out
		}
		if time.Now().After(deadline) {
			c.t.Fatal("the cluster has no leader")
		}
		<-tick.C
	}
}
