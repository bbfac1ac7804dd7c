package controller

import (
	"context"
	"errors"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
)

// Store keeps everything that the loops and use cases know. Every method is one transaction with the context's
// deadline; every time is the database's.
type Store interface {
	// Environment loads the aggregate without locking it, with the database's time. A deleted environment is loaded
	// too. An unknown one is a *rollout.Refusal with code not_found.
	Environment(ctx context.Context, name string) (rollout.Environment, time.Time, error)
	// Transact locks and loads the aggregate, lets decide take a decision on it, and writes the transition with its
	// events. An error of decide is returned as it is, and nothing is written.
	Transact(ctx context.Context, cmd Command, decide Decision) (Outcome, error)
	// Record takes facts into the environment and settles it. With a term above 0 the caller's lease must still
	// have that term, else ErrLeaseLost.
	Record(ctx context.Context, environment string, term int64, facts rollout.Facts) (rollout.Environment, error)
	// Generation loads a generation with its instances; adopted groups say so.
	Generation(ctx context.Context, environment string, number int) (rollout.Generation, error)
	// Taken says which of the instances belong to another generation that may serve, by [rollout.Instance.Target], and to
	// which, as a text for people.
	Taken(ctx context.Context, environment string, number int, instances []rollout.Instance) (map[string]string, error)
	// Versions tells, for every environment that is not deleted and forgotten by all nodes, a number that grows
	// with each change of it.
	Versions(ctx context.Context) (map[string]int64, error)
	// Heartbeat records that the node is alive, and brings it back when it was removed. It is ErrNameTaken, and nothing
	// is recorded, while another incarnation of the name was heard of within quiet.
	Heartbeat(ctx context.Context, node rollout.Node, quiet time.Duration) error
	// Enrol makes the nodes known that are not, as never heard of. One that was taken out stays so.
	Enrol(ctx context.Context, nodes []rollout.Node) error
	// Pulse records that nodes which are no replicas have answered. Each is in the incarnation that it says from now on,
	// and is back when it was removed. Of a node that was heard of within fresh in this incarnation nothing is written.
	Pulse(ctx context.Context, nodes []rollout.Node, fresh time.Duration) error
	// SignOff removes the node, as an operator would.
	SignOff(ctx context.Context, node rollout.Node) error
	// ClaimLeases renews the holder's leases and claims those that nobody holds or whose time is over, also of a deleted
	// environment that a node of a fleet has yet to forget. Those of except are left to others, and given back at once
	// when the holder has them.
	ClaimLeases(ctx context.Context, holder string, ttl time.Duration, except ...string) ([]Lease, error)
	// ReleaseLeases ends the holder's leases at once.
	ReleaseLeases(ctx context.Context, holder string) error
	// Prune deletes idempotency records whose time is over.
	Prune(ctx context.Context) error
}

// Decision is a pure command on the locked aggregate; now is the database's time.
type Decision func(e rollout.Environment, now time.Time) (rollout.Transition, error)

// Command says what a transaction is about.
type Command struct {
	Environment string
	// Create lets decide run on an environment that does not exist or is deleted (then with an empty Name or with
	// DeletedAt set); else those are not_found.
	Create bool
	// Generations are loaded even when they are retired.
	Generations []int
	// Key makes the command happen once for its caller; nil for none.
	Key *IdempotencyKey
	// Decided and Committed are the failpoints inside the transaction before its commit and right after it.
	Decided, Committed failpoint.Name
}

// IdempotencyKey names one intended command of one caller. BodyHash is over method, path, query and body.
type IdempotencyKey struct {
	Caller   string // token id
	Key      string
	BodyHash []byte // SHA-256
}

// Outcome is what a transaction came to.
type Outcome struct {
	rollout.Answer
	// Environment is the aggregate after the commit; on a replay, as it is now.
	Environment rollout.Environment
	// Replayed is true when the key had already been used for the same body: nothing was done now.
	Replayed bool
	// Response is the answer that the first use was given, when it got that far.
	Response *SavedResponse
}

// SavedResponse is an HTTP answer kept for replays.
type SavedResponse struct {
	Status int
	Body   []byte
}

// Lease is the right to do an environment's work. Term grows with every change of holder.
type Lease struct {
	Environment string
	Term        int64
	ExpiresAt   time.Time
}

// ErrNameTaken is returned to a node whose name another process uses.
var ErrNameTaken = errors.New("another process with this node_name is alive: stop it, or give this one another node_name")

// ErrLeaseLost is returned when another holder's term has begun.
var ErrLeaseLost = errors.New("the lease of the environment is lost")
