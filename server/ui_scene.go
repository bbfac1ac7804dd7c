package server

import (
	"bytes"

	"github.com/a-h/templ"

	"viridian/store"
	"viridian/web"
)

// cardLocked draws an environment for the overview: its card, and its line among those that need attention.
func (b *board) cardLocked(caller Caller, at standing, now seen) scene {
	return b.drawing.drawLocked(sceneKey{at.e.Name, onOverview, caller.Role}, at.version, now.tick, func() (web.Environment, []sketch) {
		v := b.environmentView(caller, at.e, now.now, nil)
		return v, []sketch{{"env-" + v.Name, true, web.EnvironmentCard(v)}, {"attention-" + v.Name, true, web.AttentionRow(v)}}
	})
}

// tileLocked draws an environment for the wall.
func (b *board) tileLocked(caller Caller, at standing, now seen) scene {
	return b.drawing.drawLocked(sceneKey{at.e.Name, onWall, Viewer}, at.version, now.tick, func() (web.Environment, []sketch) {
		v := b.environmentView(caller, at.e, now.now, nil)
		return v, []sketch{{"tile-" + v.Name, true, web.Tile(v)}}
	})
}

// sidesLocked draws the parts of an environment's page that are about the present.
func (b *board) sidesLocked(caller Caller, at standing, now seen) scene {
	return b.drawing.drawLocked(sceneKey{at.e.Name, onItsPage, caller.Role}, at.version, now.tick, func() (web.Environment, []sketch) {
		v := b.environmentView(caller, at.e, now.now, b.trafficOf(at.e.Name))
		return v, []sketch{
			{"head", false, web.EnvironmentHead(v)}, {"rollback", false, web.RollbackStrip(v)}, {"route", false, web.RoutePanel(v)},
			{"side-blue-state", false, web.SideState(v.Blue)}, {"side-green-state", false, web.SideState(v.Green)},
			{"side-blue-traffic", false, web.SideTraffic(v.Blue)}, {"side-green-traffic", false, web.SideTraffic(v.Green)},
			{"receipts", false, web.Receipts(v)},
		}
	})
}

// lineLocked draws what happened in an environment.
func (b *board) lineLocked(caller Caller, at standing, now seen, view web.Environment, h store.History) scene {
	return b.drawing.drawLocked(sceneKey{at.e.Name, onItsPast, caller.Role}, at.version, now.tick, func() (web.Environment, []sketch) {
		past := historyView(view, h)
		return view, []sketch{{"generations", false, web.Generations(view, past)}, {"events", false, web.RecentEvents(view, past)}}
	})
}

// raw is html that was drawn before.
func raw(html []byte) templ.Component { return templ.Raw(string(html)) }

// joined are parts one behind the other.
func joined(parts []part) []byte {
	var out bytes.Buffer
	for _, p := range parts {
		out.Write(p.html)
	}
	return out.Bytes()
}
