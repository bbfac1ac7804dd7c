// Package api is the HTTP contract as Go: the types of openapi.yaml and the interface that the server implements,
// one method for each operation. It is generated; change openapi.yaml and run "make generate".
//
// A method gets a decoded request and returns the response it means, or an error that one adapter writes as a problem.
// The spec of an environment stays raw JSON here, because the domain reads it and fills in its defaults.
//
// LoadContract prepares the same file for validating requests.
//
// Start reading at StrictServerInterface in api.gen.go.
package api

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config ../../tools/oapi/server.yaml ../../openapi.yaml
