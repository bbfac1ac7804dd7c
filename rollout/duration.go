package rollout

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a span of time that is written "90s", "10m" or "24h" in JSON (the syntax of [time.ParseDuration]).
type Duration time.Duration

// Std is the same span as a standard library duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes the span without needless zero units: "1h", "90s" as "1m30s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	for _, tail := range []string{"m0s", "h0m"} {
		if len(s) > len(tail) && s[len(s)-len(tail):] == tail {
			s = s[:len(s)-2]
		}
	}
	return s
}

// MarshalJSON writes the span as a JSON string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a JSON string such as "90s"; a negative span is an error.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a string such as \"90s\"")
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as \"90s\", \"10m\" or \"24h\"", s)
	}
	*d = Duration(v)
	return nil
}
