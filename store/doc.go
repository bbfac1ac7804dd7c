// Package store keeps everything that Viridian knows in Postgres: it holds all SQL, and it is the
// [viridian/rollout/controller.Store] of the loops and use cases.
//
// An exported method is one transaction with a deadline. A transaction that decides something takes two round trips:
// the first begins it, locks the environment's row and loads what is known of it; then a pure function of package
// rollout decides; the second writes the moves, each guarded by the state it starts from, with the events, and
// commits (transact.go). A lost connection at the commit is made definite by running the transaction again under
// the same idempotency key. What the code must never do, the schema refuses: see the folder migrations.
//
// Nothing depends on a session: timeouts are set with SET LOCAL semantics at the start of each transaction, so a
// pooler in transaction mode may stand between (one that knows no prepared statements, such as PgBouncer before 1.21,
// needs default_query_exec_mode=exec in the URL). Only [Store.Listen] wants a direct connection, and it is a hint.
//
// Start reading at store.go.
package store
