// Package registry says where instances are announced and how their health is known. Each driver lives in a folder
// of its own below this one and passes the conformance suite in registry/registrytest.
//
// Start reading at registry.go.
package registry
