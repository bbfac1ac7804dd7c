package rollout

import (
	"slices"
	"time"
)

// GenerationState is where a generation stands in its life. [GenerationMoves] is the whole table of moves.
type GenerationState string

// The states of a generation. "The loop" is the controller of any replica: if the one at work dies, another goes on
// from what is recorded.
const (
	// Registered: recorded, not yet known to the registry and every required node. The loop moves it on when it is
	// staged everywhere, or fails it at the deadline.
	Registered GenerationState = "registered"
	// Validating: staged, and being checked. The loop moves it on by the verdict of the checks or at the deadline.
	Validating GenerationState = "validating"
	// Ready: may be promoted. A promote moves it on; the loop validates it again when its validation is too old.
	Ready GenerationState = "ready"
	// Shifting: carries part of the traffic. The promotion moves it on; a rollback or abort rejects it.
	Shifting GenerationState = "shifting"
	// Live: the generation that serves. Another one's promotion or a rollback moves it on.
	Live GenerationState = "live"
	// Standby: served before and is kept warm for rollback. A rollback makes it live; the loop retires it in the end.
	Standby GenerationState = "standby"
	// Failed: did not pass staging or validation. Validating again or retirement moves it on.
	Failed GenerationState = "failed"
	// Rejected: was rolled back from, aborted or superseded. Validating again or retirement moves it on.
	Rejected GenerationState = "rejected"
	// Retiring: on its way out. The loop removes it from every router and the registry once it is drained.
	Retiring GenerationState = "retiring"
	// Retired: gone from routers and registry. Final; only the record stays.
	Retired GenerationState = "retired"
)

// GenerationMoves is the table of states: from each state, those that may follow.
var GenerationMoves = map[GenerationState][]GenerationState{
	Registered: {Validating, Failed, Retiring},
	Validating: {Ready, Failed, Retiring},
	Ready:      {Validating, Shifting, Live, Retiring},
	Shifting:   {Live, Rejected},
	Live:       {Standby, Rejected},
	Standby:    {Live, Retiring},
	Failed:     {Validating, Retiring},
	Rejected:   {Validating, Retiring},
	Retiring:   {Retired},
	Retired:    {},
}

// CanMove says whether the table allows the move.
func (s GenerationState) CanMove(to GenerationState) bool {
	return slices.Contains(GenerationMoves[s], to)
}

// Holds says whether a generation in this state may still serve, so that its instances' addresses belong to it alone.
func (s GenerationState) Holds() bool {
	switch s {
	case Failed, Rejected, Retiring, Retired:
		return false
	}
	return true
}

// Colour is the label a generation wears for people.
type Colour string

// The two colours.
const (
	Blue  Colour = "blue"
	Green Colour = "green"
)

// Other is the opposite colour; of no colour it is Blue.
func (c Colour) Other() Colour {
	if c == Blue {
		return Green
	}
	return Blue
}

// Instance is one process of a group. Its address is an IP address or a host name, its port 1 to 65535.
type Instance struct {
	ID      string            `json:"id"`
	Address string            `json:"address"`
	Port    int               `json:"port"`
	Meta    map[string]string `json:"meta,omitempty"`
}

// Group is the set of instances of one service in one generation.
type Group struct {
	Service   string     `json:"service"`
	Instances []Instance `json:"instances"`
	Consul    *Adoption  `json:"consul,omitempty"` // where they were adopted from; nil when they were listed
}

// Artifact names what the instances run and where it was built from.
type Artifact struct {
	Digest string  `json:"digest,omitempty"`
	Source *Source `json:"source,omitempty"`
}

// Source is the commit an artifact was built from.
type Source struct {
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit,omitempty"`
	URL        string `json:"url,omitempty"`
}

// Generation is an immutable, numbered set of groups with the state of its rollout. What was registered (Version,
// Artifact, Groups, Metadata, Colour) never changes, but for the instances of groups that are followed ([Follow]); the rest
// is the rollout's.
type Generation struct {
	Environment string
	Number      int
	Version     string
	Artifact    *Artifact
	Metadata    map[string]string
	Groups      []Group // loaded only where instances are needed; see Sizes
	Colour      Colour
	CreatedAt   time.Time
	CreatedBy   string

	State          GenerationState
	StateChangedAt time.Time
	Reason         string // for people; never parsed
	// Promote is true while the wish to be promoted when ready is unspent.
	Promote bool
	// Waiting is the code of what keeps a ready generation from the promotion it asked for, or [NoSlot] of one that is
	// not staged yet; empty when nothing does.
	Waiting string
	// Announced is true while the registry knows the groups, and from the beginning of the retirement until they were
	// withdrawn: an announcement may have been made and not recorded.
	Announced bool
	Checked   ValidationRecord
	// KeepUntil, when set, replaces keep_for as the end of the time a generation without traffic is kept.
	KeepUntil *time.Time
	// UnweightedRevision is the revision that took its weight away; 0 while it has weight or never had any.
	UnweightedRevision int64
	// QuietAt is since when every node, without a break, is seen at UnweightedRevision or above; nil while one is not.
	QuietAt *time.Time
	// Adopts says, by service, which groups are adopted from a registry; Adopted that they were.
	Adopts  map[string]Adoption
	Adopted bool
	// MembersAt is when its groups got the members that they have; zero while none of them is followed. It only grows.
	MembersAt time.Time
	// Succeeded is true once a promotion of it succeeded.
	Succeeded bool
	// Sizes is the number of instances by service; always loaded.
	Sizes map[string]int
}

// ValidationRecord is how the last validation of a generation went.
type ValidationRecord struct {
	StartedAt  *time.Time `json:"started_at,omitempty"`
	Since      *time.Time `json:"since,omitempty"` // older readings do not count
	Deadline   *time.Time `json:"deadline,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Passed     bool       `json:"passed"`
	Detail     string     `json:"detail,omitempty"`
}

// Expired says whether a passed validation is too old to promote on.
func (v ValidationRecord) Expired(validFor time.Duration, now time.Time) bool {
	return !v.Passed || v.FinishedAt == nil || now.Sub(*v.FinishedAt) > validFor
}
