package consultest

import (
	"net"
	"testing"
	"time"
)

// An agent that is started again while somebody has one of its ports begins when that is free.
func TestAgent_WaitsForItsPorts(t *testing.T) {
	t.Parallel()
	a := Dev(t)
	a.Kill()
	port, _ := a.config["ports"].(map[string]any)["dns"].(int)
	taken, err := net.Listen("tcp", address(port))
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(2*time.Second, func() { _ = taken.Close() }).Stop()
	a.Start()
}
