// Package consul announces generations in Consul and learns their health there. A generation that was registered by its
// addresses becomes one external node of the catalog with a service for each instance; nobody else runs the checks of
// such a node, so the holder of the environment's lease asks the instances itself and writes the answers down. It may also
// be registered on a given agent, which asks them; or be adopted: then others registered its instances, and nothing is
// written.
//
// Start reading at registry.go.
package consul
