package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// percentile is the p-th percentile of sorted values; 0 of none.
func percentile[T any](sorted []T, p int) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func median[T int | float64 | time.Duration](values []T) T {
	return percentile(slices.Sorted(slices.Values(values)), 50)
}

// spread is half of the distance between the quartiles, in percent of the median.
func spread(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (percentile(sorted, 75) - percentile(sorted, 25)) / 2 / percentile(sorted, 50) * 100
}

// goal is a bound for a ratio.
type goal struct {
	bound   float64
	atLeast bool // else at most
}

func (g goal) String() string {
	if g.atLeast {
		return fmt.Sprintf("≥ %.2f", g.bound)
	}
	return fmt.Sprintf("≤ %.2f", g.bound)
}

// verdict compares what is printed: two digits.
func (g goal) verdict(ratio float64) string {
	ratio = math.Round(ratio*100) / 100
	if (g.atLeast && ratio >= g.bound) || (!g.atLeast && ratio <= g.bound) {
		return "met"
	}
	return "missed"
}

// ratio prints the median of ratios and how far they lie apart.
func ratio(values []float64) string {
	return fmt.Sprintf("%.2f ±%.0f%%", median(values), spread(values))
}

// row prints a line under the goal: whether the ratio reaches it.
func (g goal) row(what string, values []float64) string {
	return fmt.Sprintf("%s\t%s\tgoal %s\t%s", what, ratio(values), g, g.verdict(median(values)))
}

// report prints lines of cells, separated by tabs, as a table under a title.
func report(t *testing.T, title string, lines ...string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n(%s %s/%s, %d cores; medians of rounds, ± half the distance of the quartiles)\n\n",
		title, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, err := io.WriteString(w, strings.Join(lines, "\n"))
	if err = errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	fmt.Println(b.String() + "\n")
}

func micros(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1e3) }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
