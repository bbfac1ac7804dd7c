// Viridian switches production traffic between immutable generations of an environment.
//
// Everything is wired in package cli; start reading at cli/doc.go.
package main

import (
	"context"
	_ "embed"
	"os"
	"os/signal"
	"syscall"

	"viridian/cli"
)

//go:embed openapi.yaml
var openapi []byte

// version is set by the linker; see the target build of the Makefile.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks for an orderly end, a second one does not ask
	os.Exit(cli.Run(ctx, os.Args[1:], openapi, version))
}
