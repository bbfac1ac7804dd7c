package cli

import (
	"context"
	"fmt"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"
)

// run serves until ctx ends, or until a part of the replica ends by itself, which is an error. Then it ends in order,
// the loops that others can take over first, and the proxy with what it is fed by last:
//
//	work is given back → API and proxy finish what they began → the node signs off → probing and the database
//
// A hand-over to a new process (SIGUSR2) goes in this order. Old and new are one node, under one name, and at no time
// does either serve an older route than the node was seen at:
//
//	new: reads its configuration, reaches the database                  a failure up to "leave": the new one ends,
//	new: "seal"                                                         the old one goes on with its duties
//	old: ends worker and follower, brings the state files up to date,
//	     writes them no more, gives up the lock on their folder
//	new: locks the folder, loads the files, accepts on the same sockets
//	new: "leave"
//	old: accepts no more, finishes what it began, never signs off
//	new: takes the node's name over, follows; whatever it applies, the old one applies too until it is gone,
//	     and only then is it recorded as applied
//
// Between "seal" and "leave" nobody follows routes on the node. A new process that stays there is ended before the node
// counts as silent; an old one that was stopped there is ended by the new one.
func (r *replica) run(ctx context.Context) error {
	parts := newCrew(ctx)
	endProbes := parts.start("the router", r.router.Run)
	endFleets := parts.start("the fleets", r.runFleets)
	endProxy := parts.start("the proxy", served(r.proxy.serve))
	endAPI := parts.start("the API", served(r.api.serve))
	endSchema := parts.start("the schema", r.reachSchema)
	endFailpoints := parts.start("the failpoints", r.tellFailpoints)

	var next *successor
	var d *duties
	failure := r.takeOver()
	if failure == nil {
		d = r.takeUp(parts)
		r.tellSystemd(daemon.SdNotifyReady)
		next, failure = r.watch(ctx, parts, d)
		d.endWorker()
	}
	if next != nil {
		r.api.pass()
		r.proxy.pass()
		r.log.Info("another process has taken over; finishing what was begun", "successor", next.cmd.Process.Pid)
		r.tellSystemd(fmt.Sprintf("MAINPID=%d", next.cmd.Process.Pid))
	} else {
		r.tellSystemd(daemon.SdNotifyStopping)
	}
	var servers sync.WaitGroup
	servers.Go(func() { r.api.shutdown(r.config.ShutdownDelay) })
	servers.Go(func() { r.proxy.shutdown(r.config.ShutdownDelay, r.config.DrainTimeout) })
	servers.Wait()
	endAPI()
	endProxy()
	endSchema()
	if d != nil {
		d.end()
		if next == nil && closed(r.migrated) {
			if err := d.follower.SignOff(context.WithoutCancel(ctx)); err != nil {
				r.log.Warn("the node could not sign off; it counts as unreachable soon", "error", err)
			}
		}
	}
	endProbes()
	endFailpoints()
	endFleets()
	r.store.Close()
	r.lock.release()
	r.inherited.close()
	r.log.Info("ended")
	return failure
}
