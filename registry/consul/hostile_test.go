package consul_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// Consul takes services and nodes of any name. One whose name cannot be kept does not join, is told, and keeps nobody
// else out.
func TestFollow_HostileNames(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	f := m.three(r, following(), "")
	for i, id := range []string{"nul-\x00", "escape-\x1b[2J", "long-" + strings.Repeat("x", 5000)} {
		m.register(id, "1812", "", 90+i)
	}
	m.register(`"; DROP TABLE membership; --`, "1812", "", 95)
	m.register("größe/尺寸", "1812", "", 96)
	eventually(t, "those join whose names can be kept", func() bool { return len(f.present().Instances) == 5 })
	f.until("the others are told", shapes(f.present()), func(reading rollout.Reading) bool {
		return reading.Healthy == 5 && strings.Count(reading.Drift, "has a name that cannot be used") == 3 && reading.Drift == rollout.Plain(reading.Drift)
	})
}

// A node in maintenance keeps its members, ill, in their places.
func TestFollow_NodeInMaintenance(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	f := m.three(r, following(), "")
	if err := m.api.Agent().EnableNodeMaintenance("a disk is replaced"); err != nil {
		t.Fatal(err)
	}
	all := []string{"web-1:81", "web-2:82", "web-3:83"}
	f.until("all are ill", all, func(r rollout.Reading) bool { return r.Unhealthy == 3 && strings.Contains(r.Detail, "maintenance") })
	m.registerAs("web-4", "1812", "", 84, api.HealthPassing)
	f.stays("nobody joins in it", all)
	if err := m.api.Agent().DisableNodeMaintenance(); err != nil {
		t.Fatal(err)
	}
	f.until("and after it", append(all, "web-4:84"), healthy(4))
}
