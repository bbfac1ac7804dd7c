package migrations_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"viridian/migrations"
	"viridian/store/storetest"
)

// TestCheckDirect: nothing is asked of a schema that is there, and of another one the connection must be direct.
func TestCheckDirect(t *testing.T) {
	t.Parallel()
	empty := storetest.EmptyDatabase(t)
	if err := migrations.CheckDirect(t.Context(), empty); err != nil {
		t.Errorf("a direct connection: %v", err)
	}
	err := migrations.CheckDirect(t.Context(), otherSessions(t, empty))
	var pooler *migrations.PoolerError
	if !errors.As(err, &pooler) || !strings.Contains(err.Error(), "migrate_database_url") {
		t.Errorf("through a pooler: %v", err)
	}
	if err := migrations.Up(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if err := migrations.CheckDirect(t.Context(), otherSessions(t, empty)); err != nil {
		t.Errorf("with nothing to do: %v", err)
	}
	if storetest.Pooled() {
		if err := migrations.CheckDirect(t.Context(), storetest.Database(t)); err != nil {
			t.Errorf("through PgBouncer, with nothing to do: %v", err)
		}
	}
}

// otherSessions passes a database on, and tells its clients of another session than theirs, as poolers do.
func otherSessions(t *testing.T, url string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", filepath.Join(config.Host, fmt.Sprintf(".s.PGSQL.%d", config.Port)))
			if err != nil {
				client.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(server, client); server.Close() })
			all.Go(func() { relay(client, server); client.Close() })
		}
	})
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", config.User, l.Addr(), config.Database)
}

// relay passes on what the server says, with another process id.
func relay(client, server net.Conn) {
	from, to := pgproto3.NewFrontend(server, io.Discard), pgproto3.NewBackend(client, client)
	for {
		message, err := from.Receive()
		if err != nil {
			return
		}
		if key, ok := message.(*pgproto3.BackendKeyData); ok {
			key.ProcessID++
		}
		to.Send(message)
		if to.Flush() != nil {
			return
		}
	}
}
