// Package client talks to a Viridian server: the types of openapi.yaml and a method for each operation. It is
// generated; change openapi.yaml and run "make generate".
//
// Make a client with [NewClientWithResponses] and [WithRequestEditorFn] for the token. Every answer has the decoded
// body in a field named after its status, such as JSON200, and an error in ApplicationproblemJSONDefault.
//
// Start reading at ClientWithResponses in client.gen.go.
package client

//go:generate go tool -modfile=../tools/go.mod oapi-codegen -config ../tools/oapi/client.yaml ../openapi.yaml
