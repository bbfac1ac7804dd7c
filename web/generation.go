package web

import (
	"net/url"
	"slices"
	"time"
)

// GenerationDetail is what the page of one generation shows beside its present.
type GenerationDetail struct {
	Generation  Generation
	Groups      []GroupView
	Digest      string
	Repository  string
	Commit      string
	URL         string // of what it was built from or by
	Metadata    []Fact
	Validation  Validation
	Switches    []Switch // that went to it or away from it, newest first
	ReplacedBy  *Switch  // the one that took its traffic away; nil while it has some or never had any
	ReplacedTo  int      // the generation that took it
	Environment Environment
}

// GroupView is the instances of one service.
type GroupView struct {
	Service   string
	Health    ServiceHealth
	Adopted   *Adopted // nil when its instances were listed
	Instances []InstanceView
}

// Adopted is where a group was taken over from.
type Adopted struct {
	Service, Filter string
	Follows         bool
	Since           time.Time // when it got the instances that it has now; zero unless it follows
	Until           time.Time // when they are there or the generation fails; zero once they are
}

// hasMeta says whether there is anything to show in the column of what else is known of its instances.
func (g GroupView) hasMeta() bool {
	return slices.ContainsFunc(g.Instances, func(i InstanceView) bool { return len(i.Meta) > 0 })
}

// InstanceView is one process of a group.
type InstanceView struct {
	ID, Address string // host and port
	Meta        []Fact
}

// Validation is how the last validation went.
type Validation struct {
	StartedAt, FinishedAt, Deadline *time.Time
	Passed                          bool
	Detail                          string
}

// commitLink is where people read about the commit; empty where that cannot be told. Only an address of the web is one.
func (d GenerationDetail) commitLink() string {
	u, err := url.Parse(d.Repository)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || d.Commit == "" {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.JoinPath("commit", d.Commit).String()
}

// buildLink is the address that the build gave; empty when it is none of the web.
func (d GenerationDetail) buildLink() string {
	u, err := url.Parse(d.URL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return ""
	}
	return u.String()
}
