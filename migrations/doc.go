// Package migrations holds the database schema as numbered pairs of SQL files
// and applies them with golang-migrate.
//
// One file is one transaction, and the recorded version changes in that same
// transaction: a migration that is interrupted or fails leaves no trace, and
// the next start tries it again. So no file may hold BEGIN or COMMIT, or a
// statement that cannot run in a transaction.
//
// Migrating takes a session advisory lock: give it a direct connection, not
// one through PgBouncer in transaction mode, and a role that may change the
// schema. Neither is needed by an Up that finds nothing to do, which only
// reads.
//
// Start reading at migrations.go.
package migrations
