package cli

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// browserTime bounds how long the machine's way to open an address may take.
const browserTime = 10 * time.Second

// openBrowser opens the address in the reader's browser, where somebody sits at a terminal with a desktop. Elsewhere
// nothing happens: the address is printed anyway.
func openBrowser(ctx context.Context, address string) {
	opener := "xdg-open"
	switch {
	case !isTerminal(os.Stdout):
		return
	case runtime.GOOS == "darwin":
		opener = "open"
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return
	}
	path, err := exec.LookPath(opener)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, browserTime)
	defer cancel()
	_ = exec.CommandContext(ctx, path, address).Run() // the address was printed, too
}

// isTerminal says whether a person reads there.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
