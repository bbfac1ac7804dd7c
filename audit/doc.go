// Package audit says what makes the audit log provable, without asking where it is kept: what the hash of an event
// covers, how a chain of events is verified, and how an exported log is written to a file that can be verified with
// nothing else at hand.
//
// Each environment has a chain of its own, and one more is of what belongs to none. A chain can be pruned at its old
// end: then it begins behind an anchor, which an event in the chain repeats.
//
// What is found depends on what is at hand. The events alone show every change, removal, exchange or addition inside a
// chain. That the newest ones were cut off shows against the chain's end, which the database notes beside the events.
// Who can rewrite both shows only against a hash that was noted somewhere else: ask for it with every verification.
//
// Start reading at hash.go.
package audit
