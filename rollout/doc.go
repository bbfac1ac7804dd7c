// Package rollout is the domain of Viridian: what an environment, a generation, a route, a switch and a promotion
// are, which state may follow which, and what to do next. Everything here is a pure function of its arguments: no
// I/O, no clock, nothing imported from the rest of the module.
//
// A command is a method of Environment ([Environment.Promote], [Environment.Rollback], …) that answers with a
// [Transition] or a [Refusal]. [Environment.Settle] makes the moves that recorded facts already allow, and [Decide]
// lists the work that is left to do in the world. The same functions serve the API, the loops, plans and the tests.
//
// The words are those of ARCHITECTURE.md; the states and who moves them are in generation.go and promotion.go.
//
// Start reading at environment.go.
package rollout
