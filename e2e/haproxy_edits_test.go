package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"viridian/client"
	"viridian/store/storetest"
)

// handEdit is what somebody does at the runtime socket. MAP stands for the map file, LIVE and STANDBY for servers.
type handEdit struct {
	commands string
	told     string // by the event
	moves    bool   // traffic, at the same revision: then a heal switch follows
}

var handEdits = map[string]handEdit{
	"entry deleted":       {commands: "del map MAP env/shop", told: "somebody took it out by hand"},
	"entry overwritten":   {commands: "set map MAP env/shop nonsense|1", told: `it reads "nonsense|1"`},
	"entry added":         {commands: "add map MAP env/shop 99|1|0|0", told: "the map has env/shop twice"},
	"map cleared":         {commands: "clear map MAP", told: "somebody took it out by hand"},
	"host deleted":        {commands: "del map MAP host/shop.localhost", told: "the hosts were changed: now [] lead here"},
	"host added":          {commands: "add map MAP host/evil.localhost shop.web", told: "evil.localhost"},
	"host led away":       {commands: "set map MAP host/shop.localhost other.web", told: "the hosts were changed"},
	"preview deleted":     {commands: "del map MAP gen/shop/1", told: "gen/shop/1 should be 1 and is gone"},
	"preview added":       {commands: "add map MAP gen/shop/77 2", told: "gen/shop/77"},
	"live in maintenance": {commands: "set server LIVE state maint", told: "web/s1 is in maintenance"},
	"live drained":        {commands: "set server LIVE state drain", told: "web/s1 is draining"},
	"live moved":          {commands: "set server LIVE addr 127.0.0.1 port 9", told: "web/s1 is at 127.0.0.1:9 instead of"},
	"live without share":  {commands: "set server LIVE weight 0", told: "web/s1 has the weight 0 instead of 1"},
	"live unchecked":      {commands: "disable health LIVE", told: "web/s1 is not checked"},
	"live asked aside":    {commands: "set server LIVE check-port 9", told: "asked for its health at another address"},
	"standby moved":       {commands: "set server STANDBY addr 127.0.0.1 port 9", told: "web/s1 is at 127.0.0.1:9 instead of"},
	"traffic moved":       {commands: "set map MAP env/shop MOVED", told: "the map entry was changed by hand", moves: true},
}

// TestProveHAProxyEdits changes by hand, in every way, what an HAProxy holds, with the times (in full) that an
// installation has by itself. Each edit is undone and told within a second, by an event that names it.
func TestProveHAProxyEdits(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := labOn(t, storetest.Database(t))
	l.timing = timing{leaseTTL: 3 * time.Second, poll: time.Duration(count(400, 1000)) * time.Millisecond, callTimeout: 5 * time.Second}
	f := fleetOf(l, "all", 1, "a")
	f.promote(f.candidate())
	f.inSync("before the edits")
	lb := f.balancers[0]
	holds := f.settledHolding(lb)
	var slowest time.Duration
	for name, edit := range handEdits {
		seen := f.lastEvent()
		entry, err := lb.entry("shop")
		if err != nil {
			t.Fatal(err)
		}
		command := strings.NewReplacer("MAP", lb.path("viridian.map"), "LIVE", "viridian.shop.web.2/s1", "STANDBY", "viridian.shop.web.1/s1",
			"MOVED", strings.Replace(entry, "|2|0|0|", "|1|0|0|", 1)).Replace(edit.commands)
		at := time.Now()
		if answer, err := lb.tell(command); err != nil || (strings.TrimSpace(answer) != "" && !strings.Contains(answer, "port changed")) {
			t.Fatalf("%s: %v %s", command, err, answer)
		}
		var healed, told time.Duration
		f.eventually(name+" is undone and told", func() bool {
			if healed == 0 && slices.Equal(lb.holding(), holds) {
				healed = time.Since(at)
			}
			if told == 0 && f.tells(seen, lb.name, edit.told) {
				told = time.Since(at)
			}
			return healed > 0 && told > 0
		})
		slowest = max(slowest, healed, told)
		t.Logf("%s: undone after %v, told after %v", name, healed.Round(time.Millisecond), told.Round(time.Millisecond))
		if edit.moves {
			if s := f.route().Switch; s.Kind != client.SwitchKindHeal {
				t.Errorf("%s: the switch is %d, a %s", name, s.Revision, s.Kind)
			}
		}
		f.inSync("after " + name)
		if got, _ := f.through(0).at(lb).ask(); got != 2 {
			t.Errorf("after %s generation %d answers", name, got)
		}
	}
	if slowest > noticeTime {
		t.Errorf("the slowest of %d edits was undone and told after %v", len(handEdits), slowest)
	}
	f.audit()
	report(t, "%d edits at the socket, the slowest undone and told after %v; %v", len(handEdits), slowest.Round(time.Millisecond), since(began))
}

// lastEvent is the number of the newest event of the shop.
func (f *fleet) lastEvent() int64 {
	f.Helper()
	all := f.events()
	return all[len(all)-1].Id
}

// tells says whether an event after that one names the edit of the node.
func (f *fleet) tells(after int64, node, edit string) bool {
	f.Helper()
	res, err := f.client.ListEventsWithResponse(f.Context(), &client.ListEventsParams{Environment: &f.name, Kind: ptr("route.drifted"), After: &after})
	if err != nil || res.JSON200 == nil {
		f.Fatalf("list events: %v %s", err, body(res))
	}
	for _, e := range res.JSON200.Items {
		var data struct {
			Router, Node string
			Edits        []string
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			f.Fatal(err)
		}
		if data.Router == "edge" && data.Node == node && strings.Contains(strings.Join(data.Edits, "\n"), edit) {
			return true
		}
	}
	return false
}

// holding is what an HAProxy does for us, without what changes by itself and the number of the route.
func (b *balancer) holding() []string {
	answer, err := b.tell("show map " + b.path("viridian.map") + ";show servers state")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(answer) {
		switch fields := strings.Fields(line); {
		case len(fields) == 3 && strings.HasPrefix(fields[1], "env/"):
			entry := strings.Split(fields[2], "|")
			out = append(out, fields[1]+" "+strings.Join(entry[1:min(4, len(entry))], "|"))
		case len(fields) == 3:
			out = append(out, fields[1]+" "+fields[2])
		case len(fields) >= 25 && fields[0] != "#": // address, administrative state, weight, port, where it is asked
			asked := fields[21]
			if asked == fields[18] {
				asked = "0"
			}
			checks, _ := strconv.Atoi(fields[13]) // 4: they are switched on
			out = append(out, fmt.Sprintf("%s %v %v %s %s %v", fields[1], fields[3:5], fields[6:8], fields[18], asked, checks&4 > 0 && fields[5] != "0"))
		}
	}
	slices.Sort(out)
	return out
}

// settledHolding is what it holds once all its servers with addresses are up.
func (f *fleet) settledHolding(b *balancer) []string {
	f.Helper()
	var holds []string
	f.eventually("both generations are up", func() bool {
		holds = b.holding()
		up := 0
		for _, line := range holds {
			if strings.HasSuffix(line, " true") {
				up++
			}
		}
		return up == 2
	})
	return holds
}

// at is the shop as it is reached through that balancer.
func (f *fleet) at(b *balancer) *shop {
	elsewhere, behind := *f.shop, *f.shop.replica
	behind.proxy = b.listen
	elsewhere.replica = &behind
	return &elsewhere
}
