// Package e2e holds the proofs: tests that run the built program as real processes, with a real Postgres, real
// traffic, kill -9 and outages, and judge what clients saw. It has no code of its own, only tests.
//
// Every proof runs with small counts by default, and with its full counts where VIRIDIAN_PROVE=full (make prove). Each
// ends with one line of what it counted.
//
// Start reading at lab_test.go, then at a proof: flips_test.go is the plainest.
package e2e
