package rollout

import "fmt"

// Code names why something was refused; clients may rely on it.
type Code string

// The codes of refusals, as the API shows them.
const (
	InvalidRequest          Code = "invalid_request"
	NotSupported            Code = "not_supported"
	MethodNotAllowed        Code = "method_not_allowed"
	UnsupportedMediaType    Code = "unsupported_media_type"
	PayloadTooLarge         Code = "payload_too_large"
	Unauthenticated         Code = "unauthenticated"
	Forbidden               Code = "forbidden"
	NotFound                Code = "not_found"
	Conflict                Code = "conflict"
	PreconditionFailed      Code = "precondition_failed"
	HostInUse               Code = "host_in_use"
	InstanceInUse           Code = "instance_in_use"
	RevisionMismatch        Code = "revision_mismatch"
	GenerationImmutable     Code = "generation_immutable"
	GenerationNotReady      Code = "generation_not_ready"
	ValidationExpired       Code = "validation_expired"
	CapacityTooLow          Code = "capacity_too_low"
	NodeNotStaged           Code = "node_not_staged"
	PromotionInProgress     Code = "promotion_in_progress"
	NoPromotion             Code = "no_promotion"
	EnvironmentLocked       Code = "environment_locked"
	EnvironmentFrozen       Code = "environment_frozen"
	EnvironmentBusy         Code = "environment_busy"
	RollbackUnavailable     Code = "rollback_unavailable"
	RollbackTargetUnhealthy Code = "rollback_target_unhealthy"
	RequirementNotMet       Code = "requirement_not_met"
	IdempotencyKeyReused    Code = "idempotency_key_reused"
	IdempotencyInFlight     Code = "idempotency_in_flight"
	RateLimited             Code = "rate_limited"
	Unavailable             Code = "unavailable"
	Internal                Code = "internal"
)

// FieldError is one thing wrong in a request body; Pointer is a JSON pointer (RFC 6901) into it.
type FieldError struct {
	Pointer string
	Detail  string
}

// Refusal is why a command changed nothing. It is an error with a code, a sentence and what the caller can do.
type Refusal struct {
	Code     Code
	Detail   string
	Fixes    []string
	Errors   []FieldError
	Revision int64 // the environment's present revision, where one is known; else 0
}

// Error is the code and the sentence.
func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Detail }

// Refuse makes a refusal; the fixes are sentences or commands that would help.
func Refuse(code Code, detail string, fixes ...string) *Refusal {
	return &Refusal{Code: code, Detail: detail, Fixes: fixes}
}

func refusef(code Code, fix, format string, args ...any) *Refusal {
	r := &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
	if fix != "" {
		r.Fixes = []string{fix}
	}
	return r
}

// refuse makes a refusal that carries the present revision.
func (e Environment) refuse(code Code, fix, format string, args ...any) *Refusal {
	r := refusef(code, fix, format, args...)
	r.Revision = e.Revision
	return r
}
