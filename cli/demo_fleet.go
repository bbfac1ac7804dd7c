package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"

	"viridian/client"
)

const (
	demoBuilds    = 3 // the first two are registered, the third is left to the reader
	demoInstances = 3 // of each build
	demoHost      = "127.0.0.1"
	demoFirstPort = 9101
	demoLastPort  = 9999
)

// demoFleet is every instance of the demo app. A generation never changes, so the instances come back on the ports
// that they were registered with: those are kept in a file.
type demoFleet struct {
	Ports     [demoBuilds][demoInstances]int `json:"ports"`
	listeners [demoBuilds][demoInstances]net.Listener
}

// newDemoFleet opens the ports of the file below folder, or, at the first start, free ones that it writes there.
func newDemoFleet(folder string) (*demoFleet, error) {
	path := filepath.Join(folder, "demo.json")
	text, err := os.ReadFile(path)
	f := &demoFleet{}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := f.openFree(); err != nil {
			return nil, err
		}
		text, _ := json.Marshal(f) // numbers only
		if err := writeFile(path, text, 0o644); err != nil {
			f.close()
			return nil, err
		}
		return f, nil
	case err == nil:
		err = json.Unmarshal(text, f)
	}
	if err != nil {
		return nil, &failure{what: path + " cannot be read", cause: err, fix: "start with another --data, or delete the data folder to begin anew"}
	}
	return f, f.openRecorded()
}

func (f *demoFleet) openFree() error {
	next := demoFirstPort
	for b := range f.Ports {
		for i := range f.Ports[b] {
			for f.listeners[b][i] == nil {
				if next > demoLastPort {
					f.close()
					return &failure{what: fmt.Sprintf("too few free ports between %d and %d for the demo", demoFirstPort, demoLastPort),
						fix: "stop what uses them, or start without the demo: --empty"}
				}
				if l, err := net.Listen("tcp", net.JoinHostPort(demoHost, strconv.Itoa(next))); err == nil {
					f.listeners[b][i], f.Ports[b][i] = l, next
				}
				next++
			}
		}
	}
	return nil
}

func (f *demoFleet) openRecorded() error {
	for b := range f.Ports {
		for i, port := range f.Ports[b] {
			l, err := net.Listen("tcp", net.JoinHostPort(demoHost, strconv.Itoa(port)))
			if err != nil {
				f.close()
				return &failure{what: fmt.Sprintf("port %d, where instance %s of the demo was registered, cannot be used", port, demoInstance(b+1, i)), cause: err,
					fix: fmt.Sprintf("stop what uses it (`ss -ltnp sport = :%d` shows it), start without the demo (--empty), or begin anew with another --data", port)}
			}
			f.listeners[b][i] = l
		}
	}
	return nil
}

func (f *demoFleet) close() {
	for b := range f.listeners {
		for _, l := range f.listeners[b] {
			if l != nil {
				l.Close()
			}
		}
	}
}

// run serves all instances until ctx ends. Nil is a fleet of none.
func (f *demoFleet) run(ctx context.Context) error {
	if f == nil {
		<-ctx.Done()
		return nil
	}
	all, ctx := errgroup.WithContext(ctx)
	for b := range f.listeners {
		for i, l := range f.listeners[b] {
			all.Go(func() error { return serveDemoApp(ctx, newDemoApp(b+1, demoInstance(b+1, i)), l) })
		}
	}
	return all.Wait()
}

// registration is what registers a build.
func (f *demoFleet) registration(build int) client.RegisterRequest {
	group := client.Group{Service: demoService}
	for i, port := range f.Ports[build-1] {
		group.Instances = append(group.Instances, client.Instance{Id: demoInstance(build, i), Address: demoHost, Port: port})
	}
	return client.RegisterRequest{Version: demoVersion(build), Groups: []client.Group{group}}
}

func demoInstance(build, index int) string { return fmt.Sprintf("web-%d-%c", build, 'a'+index) }

// writeFile replaces a file as a whole, so that a reader never sees half of it.
func writeFile(path string, content []byte, mode os.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
