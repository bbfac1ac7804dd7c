package server

import "slices"

// actionPages are the dialogs in which people do something, and what they lead to.
func (s *server) actionPages() []page {
	out := []page{
		{method: "GET", path: "/environments/{environment}/switches/{revision}", action: "switch.show", handler: s.showSwitchPage},
		{method: "GET", path: "/environments/{environment}/switches/{revision}/progress", action: "switch.show", handler: s.showSwitchProgress, quiet: true},
		{method: "GET", path: "/start", action: "environment.list", handler: s.showStart},
		{method: "GET", path: "/start/steps", action: "environment.list", handler: s.showStartSteps, quiet: true},
		{method: "GET", path: "/find", action: "environment.list", handler: s.showFind},
		{method: "GET", path: "/find/options", action: "environment.list", handler: s.showFindOptions},
		{method: "GET", path: "/keys", action: "self.show", handler: s.showKeys},
		{method: "GET", path: "/new-environment", action: "environment.create", handler: s.showEditor},
		{method: "POST", path: "/new-environment", action: "environment.create", handler: s.edit},
		{method: "GET", path: "/environments/{environment}/edit", action: "environment.put", handler: s.showEditor},
		{method: "POST", path: "/environments/{environment}/edit", action: "environment.put", handler: s.edit},
		{method: "GET", path: "/environments/{environment}/versions", action: "environment.spec_versions", handler: s.showVersions},
	}
	for _, d := range s.deeds() {
		out = slices.Concat(out, s.deedPages(d))
	}
	return out
}

// deeds is everything that people do by a dialog.
func (s *server) deeds() []deed {
	return []deed{
		s.promoteDeed(), s.rollbackDeed(), s.weightsDeed(), s.validateDeed(), s.retireDeed(), s.keepDeed(),
		s.lockDeed(), s.unlockDeed(), s.releaseDeed(), s.deleteDeed(), s.removeNodeDeed(),
	}
}
