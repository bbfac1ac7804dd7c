package web

import "time"

// Change is one field of a specification, before and after.
type Change struct {
	Field, Old, New string
	Added, Removed  bool
}

// Editor is the form of an environment's settings, with the same settings as JSON beside it.
type Editor struct {
	Environment string // empty for a new one
	Name        Field  // of a new one
	Path, Back  string
	CSRF        string
	Version     int64 // of the settings that were loaded; 0 for a new environment
	General     []Field
	Services    []EditorService
	Validation  []Field
	Retention   []Field
	JSON        Field
	Problem     *Problem // what belongs to no field
	Conflict    *SpecVersion
	Notice      string
}

// EditorService is one service of the form.
type EditorService struct {
	Index  int
	Title  string
	Fields []Field // name, hosts, name in Consul
	Type   Choices
	Health []Field
	Only   bool // the last one, which cannot be taken away
}

// SpecVersion is one version of an environment's settings.
type SpecVersion struct {
	Environment string
	Version     int64
	By          string
	At          time.Time
	Changes     []Change // against the version before; empty for the first
	First       bool
	Current     bool
}

// Review is what would be saved, before it is.
type Review struct {
	Environment string
	New         bool
	Path, Back  string
	CSRF, Key   string
	Version     int64
	JSON        string
	Changes     []Change
	Notes       []string
	Problem     *Problem
	Refused     string
}

// VersionsView is the list of an environment's versions, the newest first.
type VersionsView struct {
	Environment string
	List        []SpecVersion
	Next        string
	MayEdit     bool
}
