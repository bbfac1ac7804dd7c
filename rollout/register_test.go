package rollout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRegister_NumbersAndColours(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.ready()
	two := w.ready()
	if one != 1 || two != 2 || w.gen(one).Colour != Blue || w.gen(two).Colour != Green {
		t.Errorf("%d is %s, %d is %s", one, w.gen(one).Colour, two, w.gen(two).Colour)
	}
	w.promote(one)
	w.applied()
	for range 2 { // while blue is live, every new one is green
		if n := w.ready(); w.gen(n).Colour != Green {
			t.Errorf("%d is %s beside %s", n, w.gen(n).Colour, w.gen(one).Colour)
		}
	}
	w.promote(3)
	w.applied()
	if n := w.ready(); n != 5 || w.gen(n).Colour != Blue {
		t.Errorf("%d is %s beside green", n, w.gen(n).Colour)
	}
}

func TestRegister_GoesOnDuringAPromotion(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	n := w.ready()
	w.is(n, Ready)
	w.promotion(2, PromotionBaking)
}

func TestRegister_KeepsWhatWasRegistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cmd := RegisterCommand{Actor: alice, Version: "1.2", Artifact: &Artifact{Digest: "sha256:1"}, Metadata: map[string]string{"a": "b"},
		Groups: w.groups(), Promote: true}
	tr := w.changes(w.e.Register(cmd, w.now))
	g := w.gen(1)
	want := Generation{Environment: "shop", Number: 1, Version: "1.2", Artifact: cmd.Artifact, Metadata: cmd.Metadata, Groups: cmd.Groups,
		Colour: Blue, CreatedAt: w.now, CreatedBy: "token:alice", State: Registered, StateChangedAt: w.now, Promote: true, Sizes: map[string]int{"web": 2}}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Errorf("generation (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&want, tr.Registered); diff != "" || tr.Answer.Generation != 1 {
		t.Errorf("registered (-want +got):\n%s", diff)
	}
}

func TestRegister_RefusesBadGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := func(in Instance) []Group { return []Group{{Service: "web", Instances: []Instance{in}}} }
	ok := Instance{ID: "i", Address: "10.0.0.1", Port: 80}
	for name, c := range map[string]struct {
		pointer string
		groups  []Group
	}{
		"no group":              {"/groups", nil},
		"unknown service":       {"/groups/1/service", append(one(ok), Group{Service: "api", Instances: []Instance{{ID: "i", Address: "10.0.0.2", Port: 80}}})},
		"two groups":            {"/groups/1/service", append(one(ok), Group{Service: "web", Instances: []Instance{{ID: "i", Address: "10.0.0.2", Port: 80}}})},
		"empty group":           {"/groups/0/instances", []Group{{Service: "web"}}},
		"no id":                 {"/groups/0/instances/0/id", one(Instance{Address: "10.0.0.1", Port: 80})},
		"id with a newline":     {"/groups/0/instances/0/id", one(Instance{ID: "i\n", Address: "10.0.0.1", Port: 80})},
		"id with a semicolon":   {"/groups/0/instances/0/id", one(Instance{ID: "a;b", Address: "10.0.0.1", Port: 80})},
		"id of 129":             {"/groups/0/instances/0/id", one(Instance{ID: strings.Repeat("a", 129), Address: "10.0.0.1", Port: 80})},
		"same id twice":         {"/groups/0/instances/1/id", []Group{{Service: "web", Instances: []Instance{ok, {ID: "i", Address: "10.0.0.2", Port: 80}}}}},
		"same place twice":      {"/groups/0/instances/1", []Group{{Service: "web", Instances: []Instance{ok, {ID: "j", Address: "10.0.0.1", Port: 80}}}}},
		"port 0":                {"/groups/0/instances/0/port", one(Instance{ID: "i", Address: "10.0.0.1"})},
		"port 70000":            {"/groups/0/instances/0/port", one(Instance{ID: "i", Address: "10.0.0.1", Port: 70000})},
		"no address":            {"/groups/0/instances/0/address", one(Instance{ID: "i", Port: 80})},
		"address with a space":  {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "a b", Port: 80})},
		"address with a path":   {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "../x", Port: 80})},
		"short IPv4":            {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "127.1", Port: 80})},
		"number as address":     {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "2130706433", Port: 80})},
		"IPv4 in IPv6":          {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "::ffff:10.0.0.1", Port: 80})},
		"IPv6 written long":     {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "fd00:0::1", Port: 80})},
		"IPv6 with a zone":      {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "fe80::1%eth0", Port: 80})},
		"any address":           {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "0.0.0.0", Port: 80})},
		"multicast":             {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "224.0.0.1", Port: 80})},
		"capitals":              {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: "Host", Port: 80})},
		"host name of 254":      {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: strings.Repeat("a.", 127), Port: 80})},
		"label of 64 in a name": {"/groups/0/instances/0/address", one(Instance{ID: "i", Address: strings.Repeat("a", 64), Port: 80})},
	} {
		r := w.refused(InvalidRequest)(w.e.Register(RegisterCommand{Actor: alice, Groups: c.groups}, w.now))
		if len(r.Errors) == 0 || r.Errors[0].Pointer != c.pointer {
			t.Errorf("%s: errors %+v, want the first at %s", name, r.Errors, c.pointer)
		}
	}
	for _, address := range []string{"10.0.0.1", "fd00::1", "host", "a-b.c3.example"} {
		if _, err := w.e.Register(RegisterCommand{Actor: alice, Groups: one(Instance{ID: "i", Address: address, Port: 80})}, w.now); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
