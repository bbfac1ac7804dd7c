// Package router says what Viridian asks of a load balancer. Each driver lives in a folder of its own below this one
// and passes the conformance suite in router/routertest against the real thing.
//
// Start reading at router.go.
package router
