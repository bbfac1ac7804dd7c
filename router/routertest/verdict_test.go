package routertest

import (
	"errors"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	flips := []Flip{
		{Begun: at(0), Applied: at(10), Weights: map[int]int{1: 100}},
		{Begun: at(100), Applied: at(110), Weights: map[int]int{1: 50, 2: 50}},
		{Begun: at(200), Applied: at(210), Weights: map[int]int{2: 100}},
	}
	for name, c := range map[string]struct {
		answer        Answer
		failed, stale int
	}{
		"before the flip":           {Answer{at(20), at(30), 1, nil}, 0, 0},
		"too early":                 {Answer{at(20), at(30), 2, nil}, 0, 1},
		"during the flip, old":      {Answer{at(105), at(108), 1, nil}, 0, 0},
		"during the flip, new":      {Answer{at(90), at(108), 2, nil}, 0, 0},
		"between, either":           {Answer{at(150), at(160), 1, nil}, 0, 0},
		"overlaps the last, old":    {Answer{at(205), at(300), 1, nil}, 0, 0},
		"after the last, old":       {Answer{at(211), at(300), 1, nil}, 0, 1},
		"after the last, new":       {Answer{at(211), at(300), 2, nil}, 0, 0},
		"a generation never routed": {Answer{at(150), at(300), 3, nil}, 0, 1},
		"began long before":         {Answer{at(20), at(300), 1, nil}, 0, 0},
		"an error":                  {Answer{at(20), at(30), 0, errors.New("reset")}, 1, 0},
	} {
		v := Check([]Answer{c.answer}, flips)
		if v.Failed != c.failed || v.Stale != c.stale {
			t.Errorf("%s: %v", name, v)
		}
	}
}
