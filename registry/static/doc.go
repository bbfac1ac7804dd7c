// Package static is the registry of instances that nothing else knows: there is no place to announce them, so their
// health is found by asking them. Whoever watches asks; two watches ask twice.
//
// Start reading at registry.go.
package static
