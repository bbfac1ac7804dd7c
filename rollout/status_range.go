package rollout

import (
	"encoding/json"
	"fmt"
)

// StatusRange is a range of HTTP status codes, both ends included; in JSON "200-399" or a single number.
type StatusRange struct{ From, To int }

// Contains says whether the status lies in the range.
func (r StatusRange) Contains(status int) bool { return status >= r.From && status <= r.To }

// MarshalJSON writes one status as a number and a range as "from-to".
func (r StatusRange) MarshalJSON() ([]byte, error) {
	if r.From == r.To {
		return json.Marshal(r.From)
	}
	return json.Marshal(fmt.Sprintf("%d-%d", r.From, r.To))
}

// UnmarshalJSON reads 204 or "200-399"; both ends must be 100 to 599 and in order.
func (r *StatusRange) UnmarshalJSON(b []byte) error {
	var n int
	if json.Unmarshal(b, &n) == nil {
		r.From, r.To = n, n
	} else {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("a status range is a number such as 204 or a string such as \"200-399\"")
		}
		var end string
		if k, _ := fmt.Sscanf(s, "%d-%d%s", &r.From, &r.To, &end); k != 2 {
			return fmt.Errorf("%q is not a status range such as \"200-399\"", s)
		}
	}
	if r.From < 100 || r.To > 599 || r.From > r.To {
		return fmt.Errorf("a status range lies within 100-599 and goes upwards")
	}
	return nil
}
