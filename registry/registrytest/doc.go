// Package registrytest is the conformance suite of registries. A driver's test calls [Exercise], which starts real
// instances on the loopback interface, lets them fail and come back, and holds every report against the contract of
// registry.Registry.
//
// Start reading at exercise.go.
package registrytest
