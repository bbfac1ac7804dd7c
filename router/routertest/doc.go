// Package routertest is the conformance suite of routers. [Exercise] drives one against the real load balancer behind
// it, with real backends, and under load. [Load] and [Check] are the traffic and its judge; other tests use them too.
// [HAProxy] finds the one that is installed.
//
// Start reading at exercise.go.
package routertest
