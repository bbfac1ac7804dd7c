package server

import "slices"

// accessPages are the pages about who is signed in and who may.
func (s *server) accessPages() []page {
	out := []page{
		{method: "GET", path: "/login", handler: s.showLogin, open: true},
		{method: "POST", path: "/login", handler: s.login, open: true},
		{method: "POST", path: "/logout", handler: s.logout, open: true},
		{method: "GET", path: "/sessions", action: "session.list", handler: s.showSessions},
		{method: "POST", path: "/sessions/{session}/end", action: "session.end", handler: s.endSession},
		{method: "GET", path: "/tokens", action: "token.list", handler: s.showTokens},
	}
	for _, d := range []deed{s.newTokenDeed(), s.deleteTokenDeed()} {
		out = slices.Concat(out, s.deedPages(d))
	}
	return out
}
