package web

import (
	"fmt"
	"slices"
	"strings"

	"viridian/rollout"
)

// piece is a share as a part of the rule, in thousandths of its width.
type piece struct {
	Share
	from, width int
}

// pieces lays blue from the left and green behind it, each by number.
func pieces(shares []Share) []piece {
	sorted := slices.Clone(shares)
	slices.SortStableFunc(sorted, func(a, b Share) int {
		if a.Colour == b.Colour {
			return a.Generation - b.Generation
		}
		if a.Colour == rollout.Blue {
			return -1
		}
		return 1
	})
	var out []piece
	from := 0
	for _, s := range sorted {
		if s.Percent <= 0 {
			continue
		}
		out = append(out, piece{Share: s, from: from, width: s.Percent * 10})
		from += s.Percent * 10
	}
	return out
}

// weightText says the shares in words.
func weightText(shares []Share) string {
	var parts []string
	for _, p := range pieces(shares) {
		parts = append(parts, fmt.Sprintf("%s generation %d: %d %%", p.Colour, p.Generation, p.Percent))
	}
	if len(parts) == 0 {
		return "no traffic is routed"
	}
	return strings.Join(parts, ", ")
}

// weightTicks are the marks at every tenth of the rule; the one in the middle is longer.
const weightTicks = "M100 14V20M200 14V20M300 14V20M400 14V20M500 8V20M600 14V20M700 14V20M800 14V20M900 14V20"

// sideWeight is the share of all that wears the colour.
func sideWeight(shares []Share, c rollout.Colour) int {
	total := 0
	for _, s := range shares {
		if s.Colour == c {
			total += s.Percent
		}
	}
	return total
}
