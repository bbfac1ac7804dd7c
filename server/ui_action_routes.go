package server

// actionPages are the dialogs in which people do something, and what they lead to.
func (s *server) actionPages() []page {
	return []page{}
}
