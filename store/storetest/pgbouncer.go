package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/store/pglocal"
)

const (
	// poolerEnv asks for a PgBouncer in transaction mode before every database.
	poolerEnv = "VIRIDIAN_TEST_PGBOUNCER"
	// poolerPort is only part of the socket's file name, beside that of Postgres.
	poolerPort = "6432"
	// execMode is what a pooler that knows no prepared statements needs.
	execMode = "default_query_exec_mode"
)

var poolerInstalled = sync.OnceValues(func() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is set, and there is no pgbouncer: apt-get install pgbouncer", poolerEnv)
})

// Pooled says whether databases are reached through PgBouncer.
func Pooled() bool { return os.Getenv(poolerEnv) == "1" }

// Direct is the URL of the same database past any pooler: for what needs a
// session of its own, such as LISTEN, settings, locks and migrations.
func Direct(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return database
	}
	query := u.Query()
	if query.Get("port") != poolerPort {
		return database
	}
	query.Set("port", "5432")
	query.Del(execMode)
	u.RawQuery = query.Encode()
	return u.String()
}

// throughPooler is the URL of the database through the shared PgBouncer.
func throughPooler(database string) (string, error) {
	if err := pooler(); err != nil {
		return "", err
	}
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	query := u.Query()
	query.Set("port", poolerPort)
	query.Set(execMode, "exec")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// pooler starts the PgBouncer of this test process. Nobody stops it: it ends
// with the process, as Postgres does.
var pooler = sync.OnceValue(func() error {
	server, err := shared()
	if err != nil {
		return err
	}
	program, err := poolerInstalled()
	if err != nil {
		return err
	}
	u, err := url.Parse(server.URL("postgres"))
	if err != nil {
		return err
	}
	config, err := configurePooler(filepath.Dir(server.DataDir()), u.Query().Get("host"))
	if err != nil {
		return err
	}
	var log logTail
	cmd := exec.Command(program, "-q", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	ended, err := server.StartBeside(cmd)
	if err != nil {
		return err
	}
	if err := awaitPooler(server, ended); err != nil {
		return fmt.Errorf("start pgbouncer: %w\n%s", err, log.String())
	}
	return nil
})

// configurePooler writes the configuration: a pooler that gives every
// transaction whichever session is free, to databases and users that come and
// go with the tests.
func configurePooler(dir, sockets string) (config string, err error) {
	users := filepath.Join(dir, "pgbouncer.users")
	if err := os.WriteFile(users, []byte(`"postgres" ""`+"\n"), 0o644); err != nil {
		return "", err
	}
	config = filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%[1]s port=5432 auth_user=postgres
[pgbouncer]
pool_mode = transaction
listen_addr =
listen_port = %[2]s
unix_socket_dir = %[1]s
auth_type = trust
auth_file = %[3]s
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
max_client_conn = 4000
default_pool_size = 40
server_idle_timeout = 5
server_login_retry = 0.1
log_connections = 0
log_disconnections = 0
log_stats = 0
`, sockets, poolerPort, users)
	return config, os.WriteFile(config, []byte(text), 0o644)
}

func awaitPooler(server *pglocal.Server, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	u, err := url.Parse(server.URL("postgres"))
	if err != nil {
		return err
	}
	query := u.Query()
	query.Set("port", poolerPort)
	u.RawQuery = query.Encode()
	for {
		conn, err := pgx.Connect(ctx, u.String())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// logTail keeps what a program wrote, within bounds.
type logTail struct {
	mu   sync.Mutex
	text []byte
}

func (l *logTail) Write(p []byte) (int, error) {
	const most = 16 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-most):]
	return len(p), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
