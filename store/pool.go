package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Class is what a call is for. Each has connections that others cannot take away from it, so that a crowd of readers, or
// of event streams, delays no switch.
type Class int

// The classes. A context that was not marked by [For] is of the first.
const (
	// Loops are the replica's own: leases, heartbeats, records of what was seen. They use the control connections.
	Loops Class = iota
	// Commands change something because somebody asked. They use the control connections but for two, so that commands
	// that wait for one environment cost nobody a lease.
	Commands
	// Reads answer somebody's question.
	Reads
	// Streams are event streams, each of which asks again and again.
	Streams
)

type classKey struct{}

// For marks what the calls under a context are for.
func For(ctx context.Context, class Class) context.Context {
	return context.WithValue(ctx, classKey{}, class)
}

func classOf(ctx context.Context) Class {
	class, _ := ctx.Value(classKey{}).(Class)
	return class
}

// Connections are how many connections a Store has at most, by what they are for. They are made when they are needed.
// One more, of [Store.Listen], is not counted here.
type Connections struct {
	Control int // loops and commands; at least 3
	Reads   int
	Streams int
}

// DefaultConnections is enough for a replica of a large installation: what is asked is short.
var DefaultConnections = Connections{Control: 8, Reads: 4, Streams: 2}

const (
	minControl = 3
	loopsOnly  = 2 // of the control connections
)

// pools are the connections by class.
type pools struct {
	control, reads, streams *pgxpool.Pool
	commands                chan struct{} // as many as may use control connections
}

// openPools makes the pools; pool_max_conns of the URL counts for the control connections.
func openPools(ctx context.Context, config *pgxpool.Config, size Connections) (pools, error) {
	if size.Control == 0 {
		size.Control = max(DefaultConnections.Control, int(config.MaxConns))
	}
	if size.Reads == 0 {
		size.Reads = DefaultConnections.Reads
	}
	if size.Streams == 0 {
		size.Streams = DefaultConnections.Streams
	}
	if size.Control < minControl || size.Reads < 1 || size.Streams < 1 {
		return pools{}, fmt.Errorf("too few connections: %+v", size)
	}
	p := pools{commands: make(chan struct{}, size.Control-loopsOnly)}
	for _, one := range []struct {
		name string
		pool **pgxpool.Pool
		size int
	}{{"control", &p.control, size.Control}, {"reads", &p.reads, size.Reads}, {"streams", &p.streams, size.Streams}} {
		own := config.Copy()
		if own.ConnConfig.RuntimeParams["application_name"] == "" {
			own.ConnConfig.RuntimeParams["application_name"] = "viridian/" + one.name // for who looks at pg_stat_activity
		}
		own.MaxConns = int32(one.size)
		own.MinConns = min(own.MinConns, own.MaxConns)
		var err error
		if *one.pool, err = pgxpool.NewWithConfig(ctx, own); err != nil {
			p.close()
			return pools{}, err
		}
	}
	return p, nil
}

func (p pools) each(do func(*pgxpool.Pool)) {
	for _, pool := range []*pgxpool.Pool{p.control, p.reads, p.streams} {
		if pool != nil {
			do(pool)
		}
	}
}

func (p pools) close() { p.each((*pgxpool.Pool).Close) }
func (p pools) reset() { p.each((*pgxpool.Pool).Reset) }

// acquire lends a connection of the context's class; give it back by done.
func (p pools) acquire(ctx context.Context) (conn *pgxpool.Conn, done func(), err error) {
	pool, free := p.control, func() {}
	switch classOf(ctx) {
	case Reads:
		pool = p.reads
	case Streams:
		pool = p.streams
	case Commands:
		select {
		case p.commands <- struct{}{}:
			free = func() { <-p.commands }
		case <-ctx.Done():
			return nil, nil, &connectError{crowded(ctx)}
		}
	}
	if conn, err = pool.Acquire(ctx); err != nil {
		free()
		if stat := pool.Stat(); ctx.Err() != nil && stat.AcquiredConns() == stat.MaxConns() {
			err = errors.Join(err, crowded(ctx))
		}
		return nil, nil, &connectError{err}
	}
	return conn, func() { conn.Release(); free() }, nil
}

func crowded(ctx context.Context) error {
	return fmt.Errorf("%w: %w", ErrCrowded, ctx.Err())
}

// onConnection lends a connection and gives it back without an open transaction.
func (s *Store) onConnection(ctx context.Context, use func(conn *pgxpool.Conn) error) error {
	conn, done, err := s.pools.acquire(ctx)
	if err != nil {
		return err
	}
	defer done()
	defer s.rollback(ctx, conn)
	return use(conn)
}
