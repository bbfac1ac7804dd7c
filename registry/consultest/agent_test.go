package consultest_test

import (
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
)

func put(t *testing.T, c *api.Client) {
	t.Helper()
	if _, err := c.KV().Put(&api.KVPair{Key: "kept", Value: []byte("x")}, nil); err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, c *api.Client) bool {
	t.Helper()
	pair, _, err := c.KV().Get("kept", nil)
	if err != nil {
		t.Fatal(err)
	}
	return pair != nil
}

func TestDev_ForgetsWhenItIsKilled(t *testing.T) {
	t.Parallel()
	a := consultest.Dev(t)
	put(t, a.Client(""))
	a.Kill()
	a.Start()
	if kept(t, a.Client("")) {
		t.Error("a development agent kept a key over a restart")
	}
}

func TestDurable_KeepsOverKill(t *testing.T) {
	t.Parallel()
	a := consultest.Durable(t)
	put(t, a.Client(""))
	a.Kill()
	a.Start()
	if !kept(t, a.Client("")) {
		t.Error("a key is lost")
	}
}

func TestWithACL_RefusesWithoutToken(t *testing.T) {
	t.Parallel()
	a := consultest.WithACL(t)
	if _, err := a.Client("").KV().Put(&api.KVPair{Key: "k"}, nil); err == nil {
		t.Error("a write without a token is taken")
	}
	put(t, a.Client(a.Token))
}

func TestThreeServers_ElectAnotherLeader(t *testing.T) {
	t.Parallel()
	c := consultest.ThreeServers(t)
	follower := c.Followers()[0]
	put(t, follower.Client(""))
	c.Leader().Kill()
	follower.AwaitLeader()
	if !kept(t, follower.Client("")) {
		t.Error("a key is lost with the leader")
	}
}
