// Package pglocal runs a private Postgres from the machine's installed
// binaries, for "viridian dev" and for tests.
//
// The server listens on a unix socket only, keeps everything in one data
// folder, and never outlives the process that started it: an orderly Stop, a
// Ctrl-C and a kill -9 of the parent all leave nothing running.
//
// Layout of a data folder:
//
//	lock          held (flock) by the process that runs the server
//	data/         the cluster, 0700, owned by the account Postgres runs as
//	postgres.log  output of the present start; postgres.log.1 of the one before
//	socket        where the socket was, so that a restart keeps its address
//
// Who can connect: Postgres trusts every local connection ("trust"), and the
// socket lies in a folder of mode 0700, so that only the account Postgres runs
// as, and root, can reach it. Both could read the data files anyway. There is
// no TCP listener.
//
// Start reading at server.go.
package pglocal
