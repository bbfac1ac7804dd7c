package migrations

// The same operations over files of the test.
var (
	Files       = files
	UpFiles     = up
	ToFiles     = to
	ForceFiles  = force
	LatestFiles = latest
)
