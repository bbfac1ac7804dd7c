package server

// viewPages are the pages that only show.
func (s *server) viewPages() []page {
	return []page{
		{method: "GET", path: "/", action: "environment.list", handler: s.showOverview},
		{method: "GET", path: "/environments", action: "environment.list", handler: s.leadToOverview},
		{method: "GET", path: "/environments/", action: "environment.list", handler: s.leadToOverview},
		{method: "GET", path: "/live", action: "event.stream", handler: s.followOverview, stream: true, quiet: true},
		{method: "GET", path: "/wall", action: "environment.list", handler: s.showWall},
		{method: "GET", path: "/wall/live", action: "event.stream", handler: s.followWall, stream: true, quiet: true, kept: true},
		{method: "GET", path: "/environments/{environment}", action: "environment.show", handler: s.showEnvironmentPage},
		{method: "GET", path: "/environments/{environment}/live", action: "event.stream", handler: s.followEnvironment, stream: true, quiet: true},
		{method: "GET", path: "/environments/{environment}/generations/{number}", action: "generation.show", handler: s.showGenerationPage},
		{method: "GET", path: "/environments/{environment}/generations/{number}/live", action: "event.stream", handler: s.followGeneration, stream: true, quiet: true},
		{method: "GET", path: "/environments/{environment}/switches", action: "switch.list", handler: s.showSwitches},
		{method: "GET", path: "/audit", action: "event.list", handler: s.showAudit},
		{method: "GET", path: "/audit/export", action: "event.list", handler: s.exportAudit, stream: true},
		{method: "GET", path: "/audit/verify", action: "audit.verify", handler: s.verifyAudit, long: true},
		{method: "GET", path: "/audit/file", action: "audit.export", handler: s.exportWhole, long: true},
		{method: "GET", path: "/fleet", action: "router.list", handler: s.showFleet},
		{method: "GET", path: "/fleet/live", action: "event.stream", handler: s.followFleet, stream: true, quiet: true},
		{method: "GET", path: "/badge/{badge}", handler: s.showBadge, open: true},
		{method: "GET", path: "/assets/*", handler: s.asset, open: true, still: true},
		{method: "POST", path: "/theme", handler: s.setTheme, open: true},
	}
}
