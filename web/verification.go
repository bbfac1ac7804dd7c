package web

// Verification is what came of computing the audit log's hashes anew.
type Verification struct {
	Environment string // the one whose log was verified; empty for all that the viewer may see
	Noted       string // hashes that were noted elsewhere, as they were typed
	Wrong       string // what is wrong with them; then nothing was verified
	Done        bool
	Intact      bool
	Problem     string // what is wrong with the chains taken together
	Chains      []Chain
	Found       []NotedHash
}

// Chain is the log of one environment, or of what belongs to none.
type Chain struct {
	Environment string
	Length      int64  // entries verified, those that were pruned counted
	Entries     int64  // that are there
	Pruned      int64  // up to this place; 0 for none
	Head        string // hash of the last good one
	Fault       string // empty when there is none
	FaultPlace  int64
	FaultEvent  int64 // 0 when the place is empty
}

// NotedHash is one that was noted elsewhere.
type NotedHash struct {
	Hash        string
	Found       bool
	Environment string
	Place       int64
}

func (v Verification) entries() (n int64) {
	for _, c := range v.Chains {
		n += c.Entries
	}
	return n
}

func (v Verification) missing() (n int) {
	for _, h := range v.Found {
		if !h.Found {
			n++
		}
	}
	return n
}

func (v Verification) broken() (n int) {
	for _, c := range v.Chains {
		if c.Fault != "" {
			n++
		}
	}
	return n
}

// name is what the chain is about.
func (c Chain) name() string {
	if c.Environment == "" {
		return "of no environment"
	}
	return c.Environment
}
