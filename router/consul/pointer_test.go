package consul_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/consul/api"

	"viridian/router/consul"
)

func newPointer(w *town) *consul.Pointer {
	return consul.NewPointer(consul.Options{Router: "kv", Node: "dc1", Client: w.client})
}

// published is the route that the key of the environment has.
func published(ctx context.Context, client *api.Client, environment string) (p consul.Published, err error) {
	pair, _, err := client.KV().Get(consul.RouteKey(environment), (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return p, err
	}
	if pair == nil {
		return p, fmt.Errorf("there is no key %s", consul.RouteKey(environment))
	}
	return p, json.Unmarshal(pair.Value, &p)
}
