package cli

import (
	"time"

	"viridian/store"
)

// config is the configuration of an installation. Each field is declared in settings.go.
type config struct {
	DatabaseURL        string
	MigrateDatabaseURL string // empty: DatabaseURL
	ListenDatabaseURL  string // empty: DatabaseURL
	Connections        store.Connections
	AuditKeep          time.Duration
	Migrate            bool
	Listen             string
	ProxyListen        string
	NodeName           string
	StateDir           string

	LeaseTTL    time.Duration
	Poll        time.Duration
	CallTimeout time.Duration
	NodeSilence time.Duration

	ShutdownDelay time.Duration
	DrainTimeout  time.Duration

	SessionIdle     time.Duration
	PublicBadges    bool
	SessionLifetime time.Duration
	TrustedProxies  []string

	LogFormat string
	LogLevel  string

	Consul  consulConfig
	Routers []routerConfig // besides the builtin one; in the file only
}

// migrateURL is the database that migrations are applied to, by the role that may.
func (c config) migrateURL() string {
	if c.MigrateDatabaseURL != "" {
		return c.MigrateDatabaseURL
	}
	return c.DatabaseURL
}

// settingValue is one setting as it was resolved. Text is not redacted.
type settingValue struct {
	setting
	Text   string
	Origin string // "flag --listen", "VIRIDIAN_LISTEN", "viridian.yaml line 3" or "default"
}

// sources are where settings come from, strongest first.
type sources struct {
	flag func(name string) (string, bool)
	env  func(name string) (string, bool)
	file *configFile // nil for none
}

// resolve finds the value of every setting, and everything that is wrong with them at once.
func resolve(from sources) (config, []settingValue, []failure) {
	var c config
	var values []settingValue
	var wrong []failure
	for _, s := range settings() {
		v := from.find(s)
		values = append(values, v)
		if v.Text == "" {
			continue
		}
		if err := s.take(&c, v.Text); err != nil {
			shown := v.redacted()
			wrong = append(wrong, failure{what: s.key + " " + shown + " (" + v.Origin + "): " + err.Error(), fix: s.usage, usage: true})
		}
	}
	if from.file != nil {
		c.Routers = from.file.routers
		for _, r := range c.Routers {
			values = append(values, r.values...)
		}
	}
	if len(wrong) == 0 && c.NodeSilence < 3*c.Poll {
		wrong = append(wrong, failure{what: "node_silence is less than three times poll", usage: true,
			fix: "give a longer node_silence, so that a replica is not given up for one late sign of life"})
	}
	if f := c.Consul.check(); len(wrong) == 0 && f != nil {
		wrong = append(wrong, *f)
	}
	if len(wrong) == 0 {
		wrong = checkNodes(c.Routers, &c.Consul)
	}
	return c, values, wrong
}

func (from sources) find(s setting) settingValue {
	if text, ok := from.flag(s.flag()); ok {
		return settingValue{s, text, "flag --" + s.flag()}
	}
	// An empty variable is what a template leaves of a value that nobody set.
	if text, ok := from.env(s.env()); ok && text != "" {
		return settingValue{s, text, s.env()}
	}
	if from.file != nil {
		if e, ok := from.file.entries[s.key]; ok {
			return settingValue{s, e.text, from.file.at(e.line)}
		}
	}
	return settingValue{s, s.fallback(), "default"}
}
