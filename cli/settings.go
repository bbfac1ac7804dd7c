package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/server"
	"viridian/store"
)

// setting is one thing that an operator can set, in three ways that follow from its key.
type setting struct {
	key    string // in viridian.yaml; a dot stands for one level of nesting
	usage  string // what it means, its unit and range; also the fix when it is wrong
	preset func() string
	secret bool
	take   func(c *config, text string) error
}

// flag is the name of the flag: proxy.listen is --proxy-listen.
func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// env is the name of the variable: proxy.listen is VIRIDIAN_PROXY_LISTEN.
func (s setting) env() string {
	return "VIRIDIAN_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func (s setting) fallback() string {
	if s.preset == nil {
		return ""
	}
	return s.preset()
}

const databaseExample = "postgres://viridian@db.internal:5432/viridian"

// settings declares every setting, in the order in which they are shown.
//
//nolint:funlen // it is a table, and is read as one
func settings() []setting {
	return slices.Concat([]setting{
		{key: "database_url", secret: true, take: databaseURL(func(c *config) *string { return &c.DatabaseURL }),
			usage: "the Postgres to keep everything in, such as " + databaseExample + "; through a transaction pooler that knows no prepared statements " +
				"(PgBouncer before 1.21) with ?default_query_exec_mode=exec, and with migrate_database_url and listen_database_url past it"},
		{key: "migrate_database_url", secret: true, take: databaseURL(func(c *config) *string { return &c.MigrateDatabaseURL }),
			usage: "the same database with a role that may change the schema, and not through a transaction pooler; without it database_url. " +
				"serve then lets the role of database_url in; without serve, viridian migrate up --grant-to does"},
		{key: "listen_database_url", secret: true, take: databaseURL(func(c *config) *string { return &c.ListenDatabaseURL }),
			usage: "the same database by a direct connection, where database_url goes through a transaction pooler: for notifications, which make it quicker"},
		{key: "database_connections.control", take: number(func(c *config) *int { return &c.Connections.Control }, 3, 1000),
			usage: "3 to 1000: connections to the database at most, for commands and the replica's own work; without it 8, or pool_max_conns of database_url where that is more"},
		{key: "database_connections.reads", preset: is(strconv.Itoa(store.DefaultConnections.Reads)),
			take:  number(func(c *config) *int { return &c.Connections.Reads }, 1, 1000),
			usage: "1 to 1000: further ones, for requests that only read; one more is for notifications"},
		{key: "database_connections.streams", preset: is(strconv.Itoa(store.DefaultConnections.Streams)),
			take:  number(func(c *config) *int { return &c.Connections.Streams }, 1, 1000),
			usage: "1 to 1000: further ones, which all event streams share"},
		{key: "audit.keep", preset: is("0s"), take: auditKeep,
			usage: "720h or more, the same on every replica: how long events of the audit log are kept before they are pruned, which is recorded in it; 0s keeps them for ever"},
		{key: "migrate", preset: is("true"), take: boolean(func(c *config) *bool { return &c.Migrate }),
			usage: "true or false: bring the schema up to date at start"},
		{key: "listen", preset: is(":7070"), take: address(func(c *config) *string { return &c.Listen }),
			usage: "HOST:PORT of the API; an empty host is every interface, port 0 a free port"},
		{key: "proxy.listen", preset: is(":8080"), take: address(func(c *config) *string { return &c.ProxyListen }),
			usage: "HOST:PORT that traffic comes in on"},
		{key: "node_name", preset: hostname, take: nodeName,
			usage: "the name of this replica, unique and stable over restarts: letters, digits, dots, dashes"},
		{key: "state_dir", preset: is("/var/lib/viridian/state"), take: text(func(c *config) *string { return &c.StateDir }),
			usage: "a folder that this replica may write: its last routes, which it serves when the database is away"},
		{key: "lease_ttl", preset: span(controller.DefaultLeaseTTL),
			take:  within(func(c *config) *time.Duration { return &c.LeaseTTL }, 300*time.Millisecond, time.Minute),
			usage: "300ms to 1m: after this time without a sign of life another replica takes over an environment's work"},
		{key: "poll", preset: span(controller.DefaultPoll),
			take:  within(func(c *config) *time.Duration { return &c.Poll }, 50*time.Millisecond, 5*time.Second),
			usage: "50ms to 5s: how often the database is asked for changes, and the node says that it lives"},
		{key: "call_timeout", preset: span(controller.DefaultCallTimeout),
			take:  within(func(c *config) *time.Duration { return &c.CallTimeout }, 100*time.Millisecond, time.Minute),
			usage: "100ms to 1m: bounds one call to the database, a router or a registry"},
		{key: "node_silence", preset: span(rollout.DefaultTiming.Silence),
			take:  within(func(c *config) *time.Duration { return &c.NodeSilence }, time.Second, time.Hour),
			usage: "1s to 1h, the same on every replica: a replica or node that is silent for this long is unreachable; switches do not wait for such a replica"},
		{key: "shutdown_delay", preset: is("1s"),
			take:  within(func(c *config) *time.Duration { return &c.ShutdownDelay }, 0, time.Hour),
			usage: "0s to 1h: how long a replica that was told to end still takes requests, with /readyz/proxy already failing and clients asked to connect anew; after an upgrade, how long the old process waits for silence before it closes idle connections"},
		{key: "drain_timeout", preset: is("30s"),
			take:  within(func(c *config) *time.Duration { return &c.DrainTimeout }, 0, 24*time.Hour),
			usage: "0s to 24h: how long requests and connections in flight may then go on before they are cut"},
		{key: "badges.public", preset: is("false"), take: boolean(func(c *config) *bool { return &c.PublicBadges }),
			usage: "true or false: let everybody see the state of every environment at /badge/NAME.svg, without a token"},
		{key: "session.idle", preset: span(server.DefaultSessionIdle),
			take:  within(func(c *config) *time.Duration { return &c.SessionIdle }, time.Minute, 30*24*time.Hour),
			usage: "1m to 720h: a browser that was signed in and not used for so long has to sign in again"},
		{key: "session.lifetime", preset: span(server.DefaultSessionLifetime),
			take:  within(func(c *config) *time.Duration { return &c.SessionLifetime }, time.Minute, 30*24*time.Hour),
			usage: "1m to 720h: after this time a browser has to sign in again in any case"},
		{key: "trusted_proxies", take: networks(func(c *config) *[]string { return &c.TrustedProxies }),
			usage: "networks such as 10.0.0.0/8, parted by commas, of the proxies in front of listen: their X-Forwarded-For says where a request comes from"},
		{key: "log.format", preset: is("text"), take: oneOf(func(c *config) *string { return &c.LogFormat }, "text", "json"),
			usage: "text or json"},
		{key: "log.level", preset: is("info"), take: oneOf(func(c *config) *string { return &c.LogLevel }, "debug", "info", "warn", "error"),
			usage: "debug, info, warn or error"},
	}, consulSettings())
}

func is(value string) func() string          { return func() string { return value } }
func span(value time.Duration) func() string { return value.String }

// hostname is the default node name; empty, and so asked for, when the machine's own cannot serve as one.
func hostname() string {
	name, err := os.Hostname()
	if err != nil || !nodeNameForm.MatchString(name) {
		return ""
	}
	return name
}

func text(field func(*config) *string) func(*config, string) error {
	return func(c *config, value string) error {
		*field(c) = value
		return nil
	}
}

func databaseURL(field func(*config) *string) func(*config, string) error {
	return func(c *config, value string) error {
		if err := store.CheckURL(value); err != nil {
			return errors.New(redactText(err.Error()))
		}
		*field(c) = value
		return nil
	}
}

func boolean(field func(*config) *bool) func(*config, string) error {
	return func(c *config, value string) error {
		if value != "true" && value != "false" {
			return errors.New("not true or false")
		}
		*field(c) = value == "true"
		return nil
	}
}

func within(field func(*config) *time.Duration, low, high time.Duration) func(*config, string) error {
	return func(c *config, value string) error {
		d, err := time.ParseDuration(value)
		switch {
		case err != nil:
			return errors.New(`not a duration such as "500ms", "30s" or "10m"`)
		case d < low || d > high:
			return errors.New("out of range")
		}
		*field(c) = d
		return nil
	}
}

func number(field func(*config) *int, low, high int) func(*config, string) error {
	return func(c *config, value string) error {
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
			return errors.New("not a whole number")
		case n < low || n > high:
			return errors.New("out of range")
		}
		*field(c) = n
		return nil
	}
}

func auditKeep(c *config, value string) error {
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		return errors.New(`not a duration such as "9600h"`)
	case d != 0 && d < store.MinAuditKeep:
		return errors.New("out of range")
	}
	c.AuditKeep = d
	return nil
}

func oneOf(field func(*config) *string, allowed ...string) func(*config, string) error {
	return func(c *config, value string) error {
		if !slices.Contains(allowed, value) {
			return errors.New("not one of " + strings.Join(allowed, ", "))
		}
		*field(c) = value
		return nil
	}
}

func networks(field func(*config) *[]string) func(*config, string) error {
	return func(c *config, value string) error {
		var list []string
		for part := range strings.SplitSeq(value, ",") {
			prefix, err := netip.ParsePrefix(strings.TrimSpace(part))
			if err != nil || prefix != prefix.Masked() {
				return errors.New("not networks such as 10.0.0.0/8, parted by commas")
			}
			list = append(list, prefix.String())
		}
		*field(c) = list
		return nil
	}
}

func address(field func(*config) *string) func(*config, string) error {
	return func(c *config, value string) error {
		if err := checkAddress(value); err != nil {
			return err
		}
		*field(c) = value
		return nil
	}
}

func checkAddress(value string) error {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return errors.New("not HOST:PORT")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return nil
}

// nodeNameForm is NodeName of openapi.yaml.
var nodeNameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$`)

func nodeName(c *config, value string) error {
	if !nodeNameForm.MatchString(value) {
		return errors.New("not a name that fits")
	}
	c.NodeName = value
	return nil
}
