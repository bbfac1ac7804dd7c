// Package cli is the program: every command, every flag, and all wiring.
//
// A setting of the installation is declared once, in settings.go, and can be given as a flag, as an environment
// variable or in viridian.yaml. A [replica] is one process of Viridian with its proxy, API and loops; "serve" runs
// one on the configured database, "dev" runs one on a private Postgres with a demo beside it.
//
// Start reading at run.go, then replica.go for how a process starts and ends.
package cli
