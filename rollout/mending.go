package rollout

import "time"

// Mending is what is remembered of repairs of the route.
type Mending struct {
	// Healed is the revision of the last heal switch, and Kept the one whose route it and the heals right before it
	// kept: while Healed is the present revision, the route is as it was at Kept.
	Healed int64 `json:"healed,omitempty"`
	Kept   int64 `json:"kept,omitempty"`
	// Heals counts the heal switches of late, HealedAt is the time of the last.
	Heals    int       `json:"heals,omitempty"`
	HealedAt time.Time `json:"healed_at,omitzero"`
	// Recovered is the revision of the last recover switch, and RecoveredFrom the one before it.
	Recovered     int64 `json:"recovered,omitempty"`
	RecoveredFrom int64 `json:"recovered_from,omitempty"`
	// Lost is set when a node is found ahead, and counts until a recover switch is above it.
	Lost *Lost `json:"lost,omitempty"`
}

// Lost is what nodes hold and this database does not know any more: it was restored from an older copy.
type Lost struct {
	Revision    int64     `json:"revision"`     // the highest that a node was seen at, or refuses to go below
	SpecVersion int64     `json:"spec_version"` // the highest that a node was seen at
	Since       int64     `json:"since"`        // our revision when that was found
	At          time.Time `json:"at"`           // when it was found
	// Held says what keeps the recover switch from being made, as it was first told; empty while nothing was told.
	Held string `json:"held,omitempty"`
}

// mending is a copy of what is remembered of repairs, for changing.
func (e Environment) mending() Mending {
	if e.Mending == nil {
		return Mending{}
	}
	return *e.Mending
}

// Keeps says whether the route is the same as it was at the revision: only heals came after it.
func (e Environment) Keeps(revision int64) bool {
	m := e.mending()
	return revision == e.Revision || (m.Healed == e.Revision && m.Kept <= revision && revision < e.Revision)
}

// CarriesOn says whether what was decided at the revision is what the present switch does: only repairs came after it.
// Unlike [Environment.Keeps] it is no ground to decide on, for other revisions of the same number may be lost.
func (e Environment) CarriesOn(revision int64) bool {
	m := e.mending()
	return e.Keeps(revision) || (m.Recovered != 0 && revision == m.RecoveredFrom && e.Keeps(m.Recovered))
}

// carryPromotion makes the switch one of the open promotion, which goes on as it is: the route stays.
func (c *change) carryPromotion(s *Switch, revision int64) {
	if p := c.e.Promotion; p != nil {
		carried := *p
		carried.Revision, s.Promotion = revision, p.ID
		c.promotion(carried)
	}
}

// mendingWake is the first time to come at which a repair that waits for time alone may be made.
func (e Environment) mendingWake(now time.Time) (at time.Time, ok bool) {
	if lost, ahead := e.lost(); ahead {
		return e.lookedAt(lost), true
	}
	if _, found := e.drifted(now); found {
		return e.healableAt(), true
	}
	return time.Time{}, false
}
