package server

import (
	"slices"
	"testing"
	"time"
)

// TestKeepChoices_NeverShorten what is kept already.
func TestKeepChoices_NeverShorten(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		kept   time.Duration
		typed  string
		values []string
		chosen string
	}{
		"an hour more":        {time.Hour - 1, "", []string{"1h", "8h", "24h", "168h", "until"}, "8h"},
		"a day is kept":       {24 * time.Hour, "", []string{"168h", "until"}, "168h"},
		"a month is kept":     {720 * time.Hour, "", []string{"until"}, "until"},
		"something was typed": {time.Minute, "24h", []string{"1h", "8h", "24h", "168h", "until"}, "24h"},
		"it is too short now": {24 * time.Hour, "1h", []string{"168h", "until"}, "168h"},
	} {
		var values []string
		chosen := ""
		for _, choice := range keepChoices(now.Add(c.kept), now, c.typed) {
			values = append(values, choice.Value)
			if choice.Chosen {
				chosen += choice.Value
			}
		}
		if !slices.Equal(values, c.values) || chosen != c.chosen {
			t.Errorf("%s: %v, chosen %q; want %v, %q", name, values, chosen, c.values, c.chosen)
		}
	}
}
