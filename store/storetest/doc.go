// Package storetest gives tests real databases: Database clones a migrated
// template, which takes about 50 ms, and Server runs a private Postgres for
// tests that stop or kill it.
//
// All databases of one test process lie on one private Postgres, started by
// the first test that wants one. It needs no TestMain: it ends with the
// process, however that ends. Its files are removed by a later test run.
//
// Without Postgres on the machine tests are skipped, and fail where CI=true.
//
// Start reading at database.go.
package storetest
