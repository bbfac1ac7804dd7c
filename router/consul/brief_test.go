package consul_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/router/consul"
)

// What a receipt says of a Consul that cannot be reached is where it is and what it did, and not the request.
func TestPulse_IsBriefAboutAConsulThatIsAway(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	for _, s := range []*httptest.Server{gone, untrusted} {
		client, err := api.NewClient(&api.Config{Address: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		_, err = consul.NewPointer(consul.Options{Router: "pointer", Node: "dc1", Client: client}).Pulse(t.Context())
		if err == nil {
			t.Fatalf("%s was read", s.URL)
		}
		if text := err.Error(); strings.Contains(text, "/v1/") || strings.Count(text, s.Listener.Addr().String()) != 1 {
			t.Errorf("the error is %s", text)
		}
	}
}
