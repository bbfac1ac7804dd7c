// Package consul switches traffic by Consul itself: for a service mesh by the splitter of each service, for users of
// Consul's DNS by a prepared query. The node of both is the datacenter: what is written there is what every proxy and
// every resolver follows.
//
// The instances are announced by the registry consul under rollout.CatalogName, each with its generation in its meta
// and in its tags ("g42").
//
// Start reading at node.go, then at splitter.go.
package consul
