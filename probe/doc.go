// Package probe asks single instances whether they can take traffic, over TCP
// or HTTP, and turns the answers into a steady state. The builtin router and
// the registries share it.
//
// An instance is not trusted: it may be slow, huge, endless or lying, and its
// answer decides nothing but its own health.
//
// Start reading at watch.go.
package probe
