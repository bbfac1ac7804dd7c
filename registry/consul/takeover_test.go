package consul_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"viridian/registry"
	"viridian/registry/consultest"
	"viridian/rollout"
)

// TestWatch_TakesOverWithoutAFlap: a replica that takes over the watch of a group writes nothing into Consul while it
// finds everything as it was; else whoever asks for passing instances would find none for a moment.
func TestWatch_TakesOverWithoutAFlap(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t)
	r, client := registryOn(t, agent, "", ""), agent.Client("")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	at, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no TCP address")
	}
	spec := rollout.Spec{Services: []rollout.Service{{Name: "web", Health: rollout.Health{Type: rollout.HealthTCP,
		Interval: rollout.Duration(time.Second), Timeout: rollout.Duration(time.Second), HealthyAfter: 3, UnhealthyAfter: 3}}}}
	g := rollout.Generation{Environment: "shop", Number: 1, Version: "1", Groups: []rollout.Group{{Service: "web",
		Instances: []rollout.Instance{{ID: "a", Address: "127.0.0.1", Port: at.Port}}}}}
	if err := r.Register(t.Context(), spec, g); err != nil {
		t.Fatal(err)
	}
	modified := func() uint64 {
		t.Helper()
		checks, _, err := client.Health().Node("viridian-shop-g1", nil)
		if err != nil || len(checks) != 1 {
			t.Fatalf("%d checks, %v", len(checks), err)
		}
		return checks[0].ModifyIndex
	}
	var before uint64
	for turn := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		done, healthy := make(chan error, 1), make(chan struct{}, 1000)
		go func() {
			done <- r.Watch(ctx, spec, g, func(seen registry.Seen) {
				readings := seen.Readings
				if len(readings) == 1 && readings[0].Healthy == 1 {
					healthy <- struct{}{}
				} else if turn > 0 {
					t.Errorf("watch %d reports %+v", turn+1, readings)
				}
			})
		}()
		for range 2 {
			select {
			case <-healthy:
			case <-time.After(30 * time.Second):
				t.Fatal("nothing healthy is reported")
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if now := modified(); turn > 0 && now != before {
			t.Errorf("watch %d changed the check in Consul: %d, before %d", turn+1, now, before)
		}
		before = modified()
	}
}
