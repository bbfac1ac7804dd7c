package web

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Traffic is what a generation answered lately, as one node counted it.
type Traffic struct {
	Node    string // that counted
	Rate    float64
	Errors  float64  // a second
	P99     *float64 // milliseconds; nil without requests
	From    time.Time
	Step    time.Duration // between two points
	Rates   []float64
	Faults  []float64
	P99s    []float64 // 0 where there was no request
	TopRate float64   // the upper end of the rate's scale, shared by both sides
	TopP99  float64
}

// perSecond writes a rate with as many digits as it deserves.
func perSecond(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// milliseconds writes a duration; nothing was counted without one.
func milliseconds(v *float64) string {
	switch {
	case v == nil:
		return "–"
	case *v < 10:
		return fmt.Sprintf("%.1f ms", *v)
	case *v < 1000:
		return fmt.Sprintf("%.0f ms", *v)
	}
	return fmt.Sprintf("%.1f s", *v/1000)
}

// The size of a sparkline's drawing; it is stretched to the place that it gets.
const (
	sparkWidth  = 240
	sparkHeight = 40
)

// sparkLine is the path of a line through the values, from left to right. With gaps, a zero is no value: nothing was
// counted there.
func sparkLine(values []float64, top float64, gaps bool) string {
	var b strings.Builder
	pen := false
	for i, v := range values {
		if gaps && v == 0 {
			pen = false
			continue
		}
		verb := "M"
		if pen {
			verb = "L"
		}
		pen = true
		fmt.Fprintf(&b, "%s%s %s", verb, short(x(i, len(values))), short(y(v, top)))
	}
	return b.String()
}

// faultLine is the look of a line of errors: one that never rose is nothing to be alarmed by.
func faultLine(values []float64) string {
	for _, v := range values {
		if v > 0 {
			return "bad"
		}
	}
	return "plain"
}

// sparkArea is the area below the line.
func sparkArea(values []float64, top float64) string {
	if len(values) < 2 {
		return ""
	}
	return fmt.Sprintf("%sL%d %dL0 %dZ", sparkLine(values, top, false), sparkWidth, sparkHeight, sparkHeight)
}

func x(i, n int) float64 { return float64(i) * sparkWidth / float64(max(n-1, 1)) }

func y(v, top float64) float64 {
	if top <= 0 {
		return sparkHeight - 1
	}
	return sparkHeight - 1 - math.Min(v/top, 1)*(sparkHeight-3)
}

func short(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

// trafficRow is one row of the table that says what the sparklines draw.
type trafficRow struct {
	At                 time.Time
	Rate, Faults, P99s float64
}

// rows sums the points up to a few rows.
func (t Traffic) rows() []trafficRow {
	const most = 6
	per := (len(t.Rates) + most - 1) / most
	if per == 0 {
		return nil
	}
	var out []trafficRow
	for from := 0; from < len(t.Rates); from += per {
		to := min(from+per, len(t.Rates))
		row := trafficRow{At: t.From.Add(time.Duration(from) * t.Step)}
		for i := from; i < to; i++ {
			row.Rate += t.Rates[i] / float64(to-from)
			row.Faults += t.Faults[i] / float64(to-from)
			row.P99s = max(row.P99s, t.P99s[i])
		}
		out = append(out, row)
	}
	return out
}
