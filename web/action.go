package web

// Action is something that a viewer could do, and whether they may now.
type Action struct {
	Label   string
	Href    string // of its dialog, or of its page
	Page    bool   // it has a page, which needs the room
	Enabled bool
	Why     string // it is not; empty when it is
	Danger  bool
}

// Offered says whether the action makes sense at all.
func (a Action) Offered() bool { return a.Label != "" }

// Actions are what a viewer could do in an environment. What makes no sense in the present state has no label; maps
// are by generation number and leave out generations that it makes no sense for.
type Actions struct {
	Rollback          Action // to where a rollback goes by itself
	Weights           Action
	Lock, Unlock      Action
	ReleaseAutomation Action
	Edit, Delete      Action

	Promote, RollbackTo, Validate, Retire, Keep map[int]Action
}
