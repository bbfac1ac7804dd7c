package controller

import (
	"os"
	"runtime"
	"testing"
)

// TestMain runs on one processor. In Go 1.26, goroutines of one synctest bubble share a context of the race detector while
// a timer of theirs fires (bubble.timers.raceCtx in the runtime's unlockAndRun); where two of them are at it at once, on
// two processors, the detector ends the program with a SIGSEGV.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}
