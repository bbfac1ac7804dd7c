package web

// Action is something that a viewer could do, and whether they may now.
type Action struct {
	Label   string
	Href    string // of its dialog
	Enabled bool
	Why     string // it is not; empty when it is
	Danger  bool
}
