// Package controller carries decisions out: the use cases behind the API (one method of [Service] each), the
// [Follower] that keeps a replica's own node at the committed route, and the [Worker] that does an environment's work
// under its lease. What to do is decided in package rollout; what is known is kept in a [Store].
//
// Start reading at service.go.
package controller
