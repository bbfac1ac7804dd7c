// Package server is the HTTP API: it reads requests against openapi.yaml, asks who may do what, calls the use cases
// of rollout/controller, and writes what they answer. Handlers are in files by noun, named as their operations are,
// and return errors; errors.go alone turns an error into an answer.
//
// A request passes, in this order: request id, access log, panic recovery, security headers (middleware.go), the route,
// then its guard (guard.go): who are you, may you, are the parameters and the body what the contract says, was this
// asked before. Nothing of a body is read before the caller is known.
//
// The pages for people are in files ui_… and have a guard of their own (ui_guard.go): does the form come from our pages,
// whose session is it, may they. What people do goes through the same use cases as the API (ui_deed.go).
//
// Start reading at routes.go.
package server
