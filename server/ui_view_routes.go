package server

// viewPages are the pages that only show.
func (s *server) viewPages() []page {
	return []page{}
}
