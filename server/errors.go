package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/store"
)

// errMalformed marks a refusal of a request that could not even be read.
var errMalformed = errors.New("malformed request")

// answers is the one table from errors to answers, asked from the top: the first entry whose error is in the chain, or
// whose code is the refusal's. What matches nothing is the last entry. Detail and fix are used where the error itself
// has none to tell.
var answers = []struct {
	is     error
	code   rollout.Code
	status int
	title  string
	detail string
	fix    string
}{
	{is: errMalformed, code: rollout.InvalidRequest, status: http.StatusBadRequest, title: "Malformed request", fix: "send valid JSON as the contract at /openapi.yaml describes it"},
	{is: store.ErrOutcomeUnknown, code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", detail: "the database went away while the change was made: it is not known whether it took place", fix: "ask again with the same Idempotency-Key, or look at the present state"},
	{is: store.ErrFull, code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", detail: "the disk of the database is full: nothing was changed; traffic flows on", fix: "make room on the disk of the database, and ask again; it goes on by itself"},
	{is: store.ErrCrowded, code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", detail: "too many ask the database at once: nothing was changed; traffic flows on", fix: "ask again in a moment; if it stays, give more connections with database_connections"},
	{is: store.ErrPooler, code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", detail: "the database cannot be used as it is configured: nothing was changed; traffic flows on", fix: "tell who runs this Viridian; its log says what to change"},
	{is: store.ErrUnavailable, code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", detail: "the database cannot be reached; traffic flows on", fix: "try again; with an Idempotency-Key a repeat is safe"},
	{is: context.DeadlineExceeded, code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", detail: "the answer took too long", fix: "try again; with an Idempotency-Key a repeat is safe"},
	{is: context.Canceled, code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", detail: "the request was given up", fix: "try again; with an Idempotency-Key a repeat is safe"},
	{code: rollout.InvalidRequest, status: http.StatusUnprocessableEntity, title: "Invalid request", fix: "correct what errors lists"},
	{code: rollout.NotSupported, status: http.StatusUnprocessableEntity, title: "Not supported", fix: "leave the setting out"},
	{code: rollout.IdempotencyKeyReused, status: http.StatusUnprocessableEntity, title: "Idempotency key reused", fix: "use a new key for a new request"},
	{code: rollout.Unauthenticated, status: http.StatusUnauthorized, title: "Unauthenticated", fix: "send the header Authorization: Bearer vir_…"},
	{code: rollout.Forbidden, status: http.StatusForbidden, title: "Forbidden", fix: "use a token that allows it"},
	{code: rollout.NotFound, status: http.StatusNotFound, title: "Not found", fix: "look at the list it should be in, or at the contract at /openapi.yaml"},
	{code: rollout.MethodNotAllowed, status: http.StatusMethodNotAllowed, title: "Method not allowed", fix: "use a method of the header Allow"},
	{code: rollout.PreconditionFailed, status: http.StatusPreconditionFailed, title: "Precondition failed", fix: "get it again, and put your change on top of that"},
	{code: rollout.PayloadTooLarge, status: http.StatusRequestEntityTooLarge, title: "Payload too large", fix: "send at most 1 MiB"},
	{code: rollout.UnsupportedMediaType, status: http.StatusUnsupportedMediaType, title: "Unsupported media type", fix: "send the header Content-Type: application/json"},
	{code: rollout.RateLimited, status: http.StatusTooManyRequests, title: "Rate limited", fix: "wait for as long as Retry-After says"},
	{code: rollout.Unavailable, status: http.StatusServiceUnavailable, title: "Unavailable", fix: "try again"},
	{code: rollout.Conflict, status: http.StatusConflict, title: "Conflict", fix: "look at the present state and decide again"},
	{code: rollout.HostInUse, status: http.StatusConflict, title: "Host in use", fix: "take the host away from the other environment first"},
	{code: rollout.InstanceInUse, status: http.StatusConflict, title: "Instance in use", fix: "start new instances; those of a generation are never used again"},
	{code: rollout.RevisionMismatch, status: http.StatusConflict, title: "Revision mismatch", fix: "look at the route and decide again"},
	{code: rollout.GenerationImmutable, status: http.StatusConflict, title: "Generation immutable", fix: "register a new generation"},
	{code: rollout.GenerationNotReady, status: http.StatusConflict, title: "Generation not ready", fix: "wait until it is ready"},
	{code: rollout.ValidationExpired, status: http.StatusConflict, title: "Validation expired", fix: "validate the generation again"},
	{code: rollout.CapacityTooLow, status: http.StatusConflict, title: "Capacity too low", fix: "register a generation with more instances"},
	{code: rollout.NodeNotStaged, status: http.StatusConflict, title: "Node not staged", fix: "wait for the node, or take it out"},
	{code: rollout.PromotionInProgress, status: http.StatusConflict, title: "Promotion in progress", fix: "wait until it is over, or roll it back"},
	{code: rollout.NoPromotion, status: http.StatusConflict, title: "No promotion", fix: "promote a generation first"},
	{code: rollout.EnvironmentLocked, status: http.StatusConflict, title: "Environment locked", fix: "clear the lock"},
	{code: rollout.EnvironmentFrozen, status: http.StatusConflict, title: "Environment frozen", fix: "wait until the freeze is over"},
	{code: rollout.EnvironmentBusy, status: http.StatusConflict, title: "Environment busy", fix: "try again"},
	{code: rollout.RollbackUnavailable, status: http.StatusConflict, title: "Rollback unavailable", fix: "promote another generation"},
	{code: rollout.RollbackTargetUnhealthy, status: http.StatusConflict, title: "Rollback target unhealthy", fix: "roll back to another standby, or with force: true"},
	{code: rollout.RequirementNotMet, status: http.StatusConflict, title: "Requirement not met", fix: "promote the artifact where it is required first"},
	{code: rollout.IdempotencyInFlight, status: http.StatusConflict, title: "Idempotency key in flight", fix: "ask again when the first request has ended"},
	{code: rollout.Internal, status: http.StatusInternalServerError, title: "Internal error", detail: "something went wrong here", fix: "try again; if it stays, give the request_id to who runs this Viridian"},
}

// problem turns any error into what the caller is told. The text of an error that is not a refusal is never in it.
func problem(err error, requestID string) api.Problem {
	refusal := &rollout.Refusal{}
	if !errors.As(err, &refusal) {
		refusal = &rollout.Refusal{}
	}
	entry := answers[len(answers)-1]
	for _, a := range answers {
		if (a.is != nil && errors.Is(err, a.is)) || (a.is == nil && a.code == refusal.Code) {
			entry = a
			break
		}
	}
	p := api.Problem{
		Type: "urn:viridian:problem:" + string(entry.code), Title: entry.title, Status: entry.status, Code: api.Code(entry.code),
		Detail: refusal.Detail, Fixes: refusal.Fixes, Errors: []api.FieldError{}, RequestId: requestID,
	}
	if entry.detail != "" || refusal.Code != entry.code {
		p.Detail, p.Fixes = entry.detail, nil
	}
	if len(p.Fixes) == 0 {
		p.Fixes = []string{entry.fix}
	}
	for _, wrong := range refusal.Errors {
		p.Errors = append(p.Errors, api.FieldError{Pointer: wrong.Pointer, Detail: wrong.Detail})
	}
	if refusal.Revision > 0 {
		p.Revision = &refusal.Revision
	}
	return p
}

// writeError is the one adapter: every error of every layer ends here.
func (s *server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	c := callOf(r.Context())
	c.failure = err
	p := problem(err, c.id)
	body, marshalErr := json.Marshal(p)
	if marshalErr != nil {
		body = []byte("{}")
	}
	h := w.Header()
	for _, name := range []string{"ETag", "Location"} {
		h.Del(name)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", "1")
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the caller may have gone; there is nobody to tell
}

// invalid refuses a readable request with something wrong at the pointer.
func invalid(pointer, detail string) *rollout.Refusal {
	return invalidFields([]rollout.FieldError{{Pointer: pointer, Detail: detail}})
}

func invalidFields(wrong []rollout.FieldError) *rollout.Refusal {
	r := rollout.Refuse(rollout.InvalidRequest, "the request has a value that is wrong", "correct what errors lists")
	if len(wrong) > 1 {
		r.Detail = "the request has " + strconv.Itoa(len(wrong)) + " values that are wrong"
	}
	r.Errors = wrong
	return r
}

// malformed refuses a request that cannot be read.
func malformed(detail string, fixes ...string) error {
	return errors.Join(errMalformed, rollout.Refuse(rollout.InvalidRequest, detail, fixes...))
}

// unavailable refuses what cannot be done for now.
func unavailable(detail, fix string) error { return rollout.Refuse(rollout.Unavailable, detail, fix) }
