package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v3"
)

// reload rereads the configuration of a running serve. log.level takes effect at once; of other changes it says that
// they need a restart. A configuration with a fault changes nothing.
type reload struct {
	program *program
	command *cli.Command
	log     *slog.Logger
	level   *slog.LevelVar
	values  []settingValue // in force
}

// listen rereads at each SIGHUP until the returned function is called.
func (r *reload) listen() (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangups:
				r.once()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
	}
}

// once rereads the configuration now.
func (r *reload) once() {
	cfg, values, wrong := r.program.configure(r.command)
	if err := joined(append(wrong, missing(values, serveNeeds)...)); err != nil {
		r.log.Error("configuration not taken, the former one stays", "error", err)
		return
	}
	changed := false
	for _, v := range values {
		i := slices.IndexFunc(r.values, func(old settingValue) bool { return old.key == v.key })
		switch {
		case i >= 0 && r.values[i].Text == v.Text:
			continue
		case v.key == "log.level":
			_ = r.level.UnmarshalText([]byte(cfg.LogLevel)) // checked in settings.go
			r.values[i] = v
			r.log.Warn("configuration reread: the log level changed", "level", cfg.LogLevel)
		default:
			r.log.Warn("configuration reread: a setting changed that needs a restart", "setting", v.key)
		}
		changed = true
	}
	for _, old := range r.values { // of a router, say
		if !slices.ContainsFunc(values, func(v settingValue) bool { return v.key == old.key }) {
			r.log.Warn("configuration reread: a setting is gone, and that needs a restart", "setting", old.key)
			changed = true
		}
	}
	if !changed {
		r.log.Info("configuration reread: nothing changed")
	}
}
