package failpoint

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := []struct {
		spec string
		want map[Name]action
	}{
		{"", map[Name]action{}},
		{" ; ;", map[Name]action{}},
		{"promote.decided=kill", map[Name]action{PromoteDecided: {kind: actKill}}},
		{"stage.acted=error@3;", map[Name]action{StageActed: {kind: actError, nth: 3}}},
		{" apply.swapped = sleep(1m30s)@1 ; lease.claimed=hang", map[Name]action{
			ApplySwapped: {kind: actSleep, pause: 90 * time.Second, nth: 1},
			LeaseClaimed: {kind: actHang},
		}},
	}
	for _, tt := range tests {
		got, err := parse(tt.spec)
		if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("parse(%q) = %v, %v; want %v", tt.spec, got, err, tt.want)
		}
	}
}

func TestParse_Refuses(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"promote.decided", "want name=action"},
		{"nowhere=kill", `unknown failpoint "nowhere"; known are promote.decided, `},
		{"promote.decided=kill;promote.decided=error", "given twice"},
		{"promote.decided=", `unknown action ""`},
		{"promote.decided=Kill", `unknown action "Kill"`},
		{"promote.decided=sleep", `unknown action "sleep"`},
		{"promote.decided=sleep(1s", `unknown action "sleep(1s"`},
		{"promote.decided=sleep(1)", "positive duration"},
		{"promote.decided=sleep(-1s)", "positive duration"},
		{"promote.decided=kill@0", "number from 1"},
		{"promote.decided=kill@x", "number from 1"},
		{"promote.decided=kill@", "number from 1"},
	}
	for _, tt := range tests {
		if _, err := parse(tt.spec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("parse(%q) error = %v, want it to contain %q", tt.spec, err, tt.want)
		}
	}
}

func TestFromEnv(t *testing.T) {
	t.Setenv(EnvVar, "retire.committed=hang")
	s, err := FromEnv()
	if err != nil || len(s.Armed()) != 1 || s.Armed()[0] != RetireCommitted {
		t.Errorf("FromEnv() = %v, %v; want retire.committed armed", s.Armed(), err)
	}
	t.Setenv(EnvVar, "nowhere=kill")
	if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), EnvVar) {
		t.Errorf("FromEnv() error = %v, want it to name %s", err, EnvVar)
	}
}
