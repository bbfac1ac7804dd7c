package server

import (
	"bytes"
	"context"
	"hash/maphash"
	"sync"

	"github.com/a-h/templ"

	"viridian/web"
)

// drawing keeps what was drawn, so that a change is drawn once for all viewers who have the same rights.
type drawing struct {
	mu    *sync.Mutex
	seed  maphash.Seed
	seq   int64 // of the last part that came out differently
	drawn map[sceneKey]*scene
}

// sceneKey names what is drawn: an environment, where on the pages, and for which rights. Who may see an environment at
// all has the rights of their role in it.
type sceneKey struct {
	environment string
	place       place
	role        Role
}

// place is a kind of drawing.
type place int

// The places.
const (
	onOverview place = iota
	onItsPage
	onItsPast
	onWall
)

// scene is an environment as it was drawn.
type scene struct {
	version, tick int64
	view          web.Environment
	parts         []part
}

// part is a piece of a page that is replaced as a whole.
type part struct {
	id       string // of the element
	whole    bool   // html is the element itself, else what is in it
	html     []byte
	sum      uint64 // of the html
	seq      int64  // when it came out like this; 0 for what is put together for one viewer
	included bool   // another part of the same list holds it
}

func newDrawing() drawing {
	return drawing{mu: &sync.Mutex{}, seed: maphash.MakeSeed(), drawn: map[sceneKey]*scene{}}
}

// sketch is an element's id with what is in it, or with the whole of it.
type sketch struct {
	id    string
	whole bool
	body  templ.Component
}

// together runs what draws scenes, while nobody else draws. The mark is the number of the newest part: who got what was
// drawn here has got everything up to the mark that is drawn in the same places.
func (d *drawing) together(draw func()) (mark int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	draw()
	return d.seq
}

// drawLocked gives the scene of an environment, drawn anew when it is older than this version and tick.
func (d *drawing) drawLocked(key sceneKey, version, tick int64, look func() (web.Environment, []sketch)) scene {
	at := d.drawn[key]
	if at != nil && at.version >= version && at.tick >= tick {
		return *at // somebody may have drawn what is newer already
	}
	view, sketches := look()
	out := &scene{version: version, tick: tick, view: view}
	for _, s := range sketches {
		out.parts = append(out.parts, d.partLocked(at, s))
	}
	d.drawn[key] = out
	return *out
}

// partLocked renders one part; where that comes out as before, it is the one of before.
func (d *drawing) partLocked(before *scene, s sketch) part {
	html := render(s.body)
	sum := maphash.Bytes(d.seed, html)
	if before != nil {
		for _, old := range before.parts {
			if old.id == s.id && old.sum == sum {
				return old
			}
		}
	}
	d.seq++
	return part{id: s.id, whole: s.whole, html: html, sum: sum, seq: d.seq}
}

// own is a part that is put together for one viewer.
func (d *drawing) own(id string, html []byte) part {
	return part{id: id, html: html, sum: maphash.Bytes(d.seed, html)}
}

// forget drops everything when there is much more than so many environments need.
func (d *drawing) forget(environments int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.drawn) > 16*(environments+16) {
		clear(d.drawn)
	}
}

// render draws a component. Components fail only when their writer or their context does.
func render(c templ.Component) []byte {
	var out bytes.Buffer
	if err := c.Render(context.Background(), &out); err != nil {
		panic(err)
	}
	return out.Bytes()
}
