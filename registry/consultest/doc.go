// Package consultest gives tests a real Consul agent of their own: in memory, with a data folder, with access control,
// or as three servers. The binary is the one that scripts/consul builds, or VIRIDIAN_CONSUL names.
//
// Start reading at agent.go.
package consultest
