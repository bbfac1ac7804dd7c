package store

import (
	"sync"
	"time"
)

// contact notes when this process has come to reach the database again. While it did not, others may not have either:
// then they sent no sign of life, and are not silent.
type contact struct {
	mu             sync.Mutex
	last, regained time.Time // by the clock of this process; zero for never
}

// leastGap is how long the database must not have answered at least, for it to count as lost.
const leastGap = time.Second

// answered notes that the database has answered.
func (s *Store) answered() {
	s.contact.mu.Lock()
	defer s.contact.mu.Unlock()
	now := s.clock.Now()
	if last := s.contact.last; !last.IsZero() && now.Sub(last) > max(s.timing.Silence/2, leastGap) {
		s.contact.regained = now
	}
	s.contact.last = now
}

// heardSince is since when it can be told who is silent, where now is the database's time; zero when the database was
// never lost.
func (s *Store) heardSince(now time.Time) time.Time {
	s.contact.mu.Lock()
	defer s.contact.mu.Unlock()
	if s.contact.regained.IsZero() {
		return time.Time{}
	}
	return now.Add(-s.clock.Since(s.contact.regained))
}
