package consul_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consul"
)

// What a person reads of a Consul that cannot be reached is where it is and what it did, and not a request's whole query.
func TestFind_IsBriefAboutAConsulThatIsAway(t *testing.T) {
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
		_, err = consul.New(consul.Options{Client: client}).Find(t.Context(), adoption, "")
		if err == nil {
			t.Fatalf("%s was read", s.URL)
		}
		if text := err.Error(); strings.Contains(text, "filter=") || strings.Count(text, s.Listener.Addr().String()) != 1 {
			t.Errorf("the error is %s", text)
		}
	}
}
