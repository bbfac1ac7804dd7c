package server

// accessPages are the pages about who is signed in and who may.
func (s *server) accessPages() []page {
	return []page{
		{method: "GET", path: "/login", handler: s.showLogin, open: true},
		{method: "POST", path: "/login", handler: s.login, open: true},
		{method: "POST", path: "/logout", handler: s.logout, open: true},
	}
}
