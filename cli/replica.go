package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	consulapi "github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/router/builtin"
	"viridian/store"
)

// replica is one process of Viridian: the proxy with its routes, the API, and the loops.
type replica struct {
	config     config
	log        *slog.Logger
	clock      clockwork.Clock
	failpoints *failpoint.Set
	node       rollout.Node
	self       self
	inherited  *inherited
	upgrades   <-chan os.Signal // each asks for a successor; nil for never
	lock       *stateLock

	router *builtin.Router
	proxy  *proxy
	store  *store.Store
	hub    *controller.Hub
	consul *consulapi.Client // nil without one
	fleets map[string]controller.Fleet
	// contacts is how this process gets on with the nodes of the fleets.
	contacts *controller.Contacts
	metrics  *prometheus.Registry
	api      *api

	migrated chan struct{} // closed when the schema is there
}

// newReplica opens what the replica needs, in the order of what matters: its last routes and the port for traffic
// come before the API. The database is only named here, except when another process hands over to this one: that
// goes on serving until everything is ready here. On an error nothing is left open.
func newReplica(ctx context.Context, p *program, cfg config, log *slog.Logger, in *inherited) (*replica, error) {
	r := &replica{config: cfg, log: log, clock: clockwork.NewRealClock(), hub: controller.NewHub(),
		contacts: controller.NewContacts(), inherited: in, migrated: make(chan struct{})}
	r.node = rollout.Node{Router: builtin.Name, Name: cfg.NodeName, Version: p.version,
		Incarnation: strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixMilli(), 10)}
	open := []func() error{r.armFailpoints, r.openConsul, r.openFleets, r.nameDatabase, r.openProxy, func() error { return r.makeAPI(p) }, r.openAPI}
	if in.predecessor != nil { // what takes long comes before it stops
		open = []func() error{r.armFailpoints, r.openConsul, r.openFleets, r.nameDatabase, func() error { return r.makeAPI(p) }, func() error { return r.relieve(ctx) }, r.openProxy, r.openAPI}
	}
	for _, open := range open {
		if err := open(); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func (r *replica) armFailpoints() (err error) {
	if r.failpoints, err = failpoint.FromEnv(); err != nil {
		return &failure{what: "failpoints", cause: err, fix: "leave the variable " + failpoint.EnvVar + " unset; it is for tests", usage: true}
	}
	if armed := r.failpoints.Armed(); len(armed) > 0 {
		r.log.Warn("FAILPOINTS ARE ARMED: this process will fail on purpose", "failpoints", armed)
	}
	return nil
}

// tellFailpoints logs each armed failpoint when it fires for the first time, for the test that armed it.
func (r *replica) tellFailpoints(ctx context.Context) error {
	var all sync.WaitGroup
	for _, name := range r.failpoints.Armed() {
		all.Go(func() {
			select {
			case <-r.failpoints.Reached(name):
				r.log.Warn("failpoint hit", "name", name)
			case <-ctx.Done():
			}
		})
	}
	all.Wait()
	<-ctx.Done()
	return ctx.Err()
}

func (r *replica) openProxy() error {
	if err := writable(r.config.StateDir); err != nil {
		return err
	}
	var err error
	if r.lock, err = lockState(r.config.StateDir, r.log); err != nil {
		return err
	}
	r.router, err = builtin.New(builtin.Options{Node: r.node.Name, Incarnation: r.node.Incarnation, StateDir: r.config.StateDir,
		Clock: r.clock, Failpoints: r.failpoints, Logger: r.log})
	if err != nil {
		return err
	}
	loaded, bad := r.router.Loaded()
	if bad > r.inherited.unreadable && !r.inherited.predecessor.gone() {
		return fmt.Errorf("%d state files cannot be read", bad-r.inherited.unreadable)
	}
	l, err := r.inherited.listen(socketProxy, r.config.ProxyListen, "proxy.listen (--proxy-listen)")
	if err != nil {
		return err
	}
	r.proxy = newProxy(r.router, l, r.log)
	r.proxy.share(r.inherited.shared())
	r.log.Info("traffic is served", "address", l.Addr().String(), "environments", loaded, "unreadable", bad)
	return nil
}

// writable makes the folder and says what to do when nothing can be written there. A disk that is full is no reason not
// to serve what is on it.
func writable(dir string) error {
	err := os.MkdirAll(filepath.Dir(dir), 0o755) // others may have folders beside it
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".writable-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err == nil || errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	full, absErr := filepath.Abs(dir)
	if absErr != nil {
		full = dir
	}
	return &failure{what: "the state folder " + full + " cannot be written", cause: err,
		fix: fmt.Sprintf("let user %d write it, or choose another one with state_dir (--state-dir)", os.Geteuid())}
}

// nameDatabase makes the store, which connects when it is asked something.
func (r *replica) nameDatabase() (err error) {
	r.store, err = store.Open(context.Background(), store.Options{URL: r.config.DatabaseURL, ListenURL: r.config.ListenDatabaseURL,
		Connections: r.config.Connections, AuditKeep: r.config.AuditKeep, Required: r.required(), Undivided: r.undivided(), Finders: r.finders(),
		Timing: r.timing(), CallTimeout: r.config.CallTimeout, Failpoints: r.failpoints, Logger: r.log, Clock: r.clock})
	if err != nil {
		return badDatabaseURL(err)
	}
	return nil
}

// timing is what decisions take for silence, and how long a late worker may still do something.
func (r *replica) timing() rollout.Timing {
	t := rollout.DefaultTiming
	t.Silence = r.config.NodeSilence
	t.Grace = r.config.LeaseTTL + r.config.CallTimeout
	return t
}

// options are what the loops and use cases share.
func (r *replica) options() controller.Options {
	o := controller.Options{
		Store: r.store, Hub: r.hub, Clock: r.clock, Random: rand.Float64, Failpoints: r.failpoints, Log: r.log,
		Local: r.router, Node: r.node, Fleets: r.fleets, Contacts: r.contacts,
		Registries: r.registries(),
		LeaseTTL:   r.config.LeaseTTL, Poll: r.config.Poll, CallTimeout: r.config.CallTimeout,
	}
	if old := r.inherited.predecessor; old != nil {
		o.Store, o.Local = &heir{Store: r.store}, &twin{ownRouter: r.router, old: old, log: r.log}
	}
	return o
}

func (r *replica) proxyAddress() net.Addr { return r.proxy.listener.Addr() }
func (r *replica) apiAddress() net.Addr   { return r.api.listener.Addr() }

// close gives up a replica that was never run.
func (r *replica) close() {
	if r.proxy != nil {
		abandon(r.proxy.listener)
	}
	if r.api != nil && r.api.door != nil {
		abandon(r.api.listener)
	}
	if r.store != nil {
		r.store.Close()
	}
	r.lock.release()
	r.inherited.close()
}
