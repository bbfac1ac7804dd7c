package controller

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"viridian/rollout"
)

// blip is how long announcements may fail before anybody is told, as in a watch: an election takes about that long.
const blip = 1500 * time.Millisecond

// trouble is what the watches and the announcements of this pass have met; known is false while a watch has yet to tell,
// or announcements have not failed for long: then what was told before stays.
func (t *tenure) trouble(failed error) (text string, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.w.Clock.Now()
	switch {
	case failed == nil:
		t.failing = time.Time{}
	case t.failing.IsZero():
		t.failing = now
	case now.Sub(t.failing) >= blip:
		return rollout.Plain(failed.Error()), true
	}
	known = failed == nil
	for _, number := range slices.Sorted(maps.Keys(t.watches)) {
		w := t.watches[number]
		w.mu.Lock()
		known = known && w.heard
		text = cmp.Or(text, w.trouble)
		w.mu.Unlock()
	}
	return text, known || text != ""
}
