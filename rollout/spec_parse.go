package rollout

import "fmt"

// maxSpecErrors bounds an answer about a hostile text; a person's mistakes are fewer.
const maxSpecErrors = 100

// ParseSpec reads the specification of an environment from JSON, strictly, and fills in the defaults: of the whole, of
// each service, and of each object that is given in part. A full specification reads back as it was: ParseSpec of a
// marshalled Spec is that Spec. Host names are turned to lower case.
//
// The error is a *[Refusal] that lists everything found, each with its pointer: with code [InvalidRequest] when
// something is malformed, unknown or out of range, else with [NotSupported] when the specification asks only for what
// this version does not do.
func ParseSpec(raw []byte) (Spec, error) {
	spec := defaultSpec()
	found := &specErrors{seen: map[string]bool{}}
	(&specDecoder{specErrors: found}).decode(raw, &spec)
	if !found.seen[""] {
		(&specValidator{specErrors: found}).validate(&spec)
	}
	if refusal := found.refusal(); refusal != nil {
		return Spec{}, refusal
	}
	return spec, nil
}

// specErrors collects what is wrong with a specification, at most one thing for each pointer: the first one found is
// the cause of the others.
type specErrors struct {
	wrong   []FieldError
	unbuilt []FieldError
	seen    map[string]bool
}

// invalid records that the value at the pointer can never be accepted.
func (s *specErrors) invalid(pointer, format string, args ...any) {
	s.wrong = s.add(s.wrong, pointer, fmt.Sprintf(format, args...))
}

// unsupported records that the value at the pointer makes sense, but that this version does not act on it.
func (s *specErrors) unsupported(pointer, format string, args ...any) {
	s.unbuilt = s.add(s.unbuilt, pointer, fmt.Sprintf(format, args...))
}

func (s *specErrors) add(to []FieldError, pointer, detail string) []FieldError {
	if s.seen[pointer] || len(s.seen) >= maxSpecErrors {
		return to
	}
	s.seen[pointer] = true
	return append(to, FieldError{Pointer: pointer, Detail: detail})
}

func (s *specErrors) refusal() *Refusal {
	all := append(s.wrong, s.unbuilt...)
	if len(all) == 0 {
		return nil
	}
	refusal := Refuse(InvalidRequest, "the specification has errors", "correct the fields listed in errors")
	if len(s.wrong) == 0 {
		refusal = Refuse(NotSupported, "the specification asks for what this version does not do",
			"leave the fields listed in errors out, or give them their defaults")
	}
	refusal.Errors = all
	if first := all[0]; len(all) == 1 {
		refusal.Detail = fmt.Sprintf("%s: %s %s", refusal.Detail, first.Pointer, first.Detail)
		if first.Pointer == "" {
			refusal.Detail = "the specification " + first.Detail
		}
	}
	return refusal
}
