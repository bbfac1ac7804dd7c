// Package search goes through every order in which things can happen in a small installation: two nodes, two workers
// with lease terms, up to three generations, clients, crashes, restarts, stalls and time. Every decision in it is made
// by package rollout itself; only the nodes, the registry and the loops around the decisions are played. In each state
// that is reached, invariants are looked at; the shortest way to a state that breaks one is told in words.
//
// It has no code of its own, only tests. They run to a bound by default, and to the end where VIRIDIAN_PROVE=full.
//
// Start reading at world_test.go.
package search
