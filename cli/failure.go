package cli

// failure is an error for a person at a terminal: one line that says what is wrong, one that says what to do.
type failure struct {
	what, fix string
	usage     bool // a mistake in arguments or configuration: exit code 2
	cause     error
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.what + ": " + f.cause.Error()
	}
	return f.what
}

func (f *failure) Unwrap() error { return f.cause }

func (f *failure) lines() string {
	text := "viridian: " + f.Error()
	if f.fix != "" {
		text += "\n  fix: " + f.fix
	}
	return text
}
