// Package failpoint lets a test stop the program at a named line: kill it, fail it, hang it or slow it down there.
//
// The boundaries between intent, act, observe and record each have a name (names.go), and the code at a boundary asks
// its [Set] with [Set.Hit]. A Set is injected where it is wanted; a nil Set never fires, which is what production has.
// A program under test is armed from outside by the environment variable VIRIDIAN_FAILPOINTS:
//
//	VIRIDIAN_FAILPOINTS="promote.committed=kill;apply.swapped=sleep(200ms);stage.acted=error@2"
//
// An action fires at every hit, or with @N at the N-th hit only, counted from 1.
//
// Start reading at failpoint.go.
package failpoint
