package server

import (
	"context"
	"net/http"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// call is what is known of the request that is being served. The outermost middleware makes it; each layer adds what
// it found out, and the access log reads it at the end.
type call struct {
	id      string    // request id
	started time.Time // by the server's clock
	route   *route    // nil when the path or method is unknown
	caller  Caller    // the zero Caller on routes that anybody may call
	session *session  // of a browser; nil for callers of the API, and where nobody is signed in
	head    bool      // the method is HEAD
	status  int       // of the answer; 0 before it
	failure error     // what the log is told of a refusal or fault; the caller may be told less

	key        *controller.IdempotencyKey // nil when the caller sent none
	replayed   bool                       // the key was used before: nothing was done now
	saved      *controller.SavedResponse  // the answer to repeat
	headers    http.Header                // headers of the answer to repeat
	unfinished bool                       // the answer may be a better one later: not to be kept
}

type callKey struct{}

// callOf returns the call of a request's context.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// actor is who the domain is told that asks.
func actor(ctx context.Context) rollout.Actor { return callOf(ctx).caller.Actor() }

// idempotencyKey is the key of the request, nil for none.
func idempotencyKey(ctx context.Context) *controller.IdempotencyKey { return callOf(ctx).key }
