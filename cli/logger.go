package cli

import (
	"io"
	"log/slog"
)

// newLogger writes to w as the configuration says. The level may be changed later.
func newLogger(c config, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	_ = level.UnmarshalText([]byte(c.LogLevel)) // checked in settings.go
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}
