// Package consul switches traffic by Consul itself: for a service mesh by the splitter of each service, for users of
// Consul's DNS by a prepared query, and for whoever follows a key by the route as JSON. The node of each is the
// datacenter: what is written there is what every proxy and every resolver follows. GUIDE.md is for its users.
//
// The instances are those of rollout.CatalogName in Consul's catalog, each with its generation in its meta, or by the
// filter that they were adopted with.
//
// Start reading at node.go, then at splitter.go.
package consul
