package rollout

import "time"

// Spec is what an operator declares of an environment. Every version of it is kept; services, routers and registry do
// not change while a promotion runs. Build one with [ParseSpec], which fills in the defaults.
type Spec struct {
	Description string     `json:"description"`
	Services    []Service  `json:"services"`
	Routers     []string   `json:"routers"`
	Registry    string     `json:"registry"`
	Validation  Validation `json:"validation"`
	Promotion   Intake     `json:"promotion"`
	Bake        Bake       `json:"bake"`
	Retention   Retention  `json:"retention"`
	Requires    []any      `json:"requires"`
	Networks    Networks   `json:"networks"`

	// Foreign says what of a kept spec this program does not know or do, see [Environment.Foreign]; empty for nothing.
	Foreign string `json:"-"`
}

// Service is one load-balanced name of the environment. All services of an environment flip together.
type Service struct {
	Name        string   `json:"name"`
	CatalogName string   `json:"catalog_name,omitempty"` // empty for the usual one, see [CatalogName]
	Hosts       []string `json:"hosts"`
	Protocol    string   `json:"protocol"`
	UpstreamTLS bool     `json:"upstream_tls"`
	Health      Health   `json:"health"`
}

// Health says how one instance of a service is asked whether it can take traffic.
type Health struct {
	Type           HealthType    `json:"type"`
	Path           string        `json:"path"`          // http only
	ExpectStatus   []StatusRange `json:"expect_status"` // http only; any match passes
	Interval       Duration      `json:"interval"`
	Timeout        Duration      `json:"timeout"`
	HealthyAfter   int           `json:"healthy_after"`   // passes in a row until healthy
	UnhealthyAfter int           `json:"unhealthy_after"` // failures in a row until unhealthy
}

// HealthType is the kind of question: does it accept a connection, or does it answer a request.
type HealthType string

// The kinds of health question.
const (
	HealthTCP  HealthType = "tcp"
	HealthHTTP HealthType = "http"
)

// Validation says what a generation must show before it may be promoted.
type Validation struct {
	Timeout            Duration `json:"timeout"`              // from registration (staging) and from the start of validating
	ValidFor           Duration `json:"valid_for"`            // after that a ready generation is validated again
	MinHealthyPercent  int      `json:"min_healthy_percent"`  // of the generation's own instances, each service
	MinCapacityPercent int      `json:"min_capacity_percent"` // healthy instances relative to the live generation's, each service
	Checks             []any    `json:"checks"`
}

// IntakeRule says what happens to a ready generation with promote: true while a promotion runs.
type IntakeRule string

// IntakeQueue lets the newest wait and retires older waiting ones as superseded.
const IntakeQueue IntakeRule = "queue"

// Intake is how generations that asked for promotion get it.
type Intake struct {
	Intake IntakeRule `json:"intake"`
	Steps  []any      `json:"steps"`
	Checks []any      `json:"checks"`
}

// Bake is the time a promoted generation is watched before its promotion counts as succeeded.
type Bake struct {
	Duration  Duration `json:"duration"`
	Interval  Duration `json:"interval"`
	Checks    []any    `json:"checks"`
	OnFailure string   `json:"on_failure"`
}

// Retention says how long what no longer serves is kept, and how long its open connections may last.
type Retention struct {
	KeepFor         Duration `json:"keep_for"`
	KeepGenerations int      `json:"keep_generations"`
	Drain           Duration `json:"drain"`
}

// Networks bounds where checks and previews may go.
type Networks struct {
	CheckAllow   []string `json:"check_allow"`
	PreviewAllow []string `json:"preview_allow"`
}

// Service returns the service of that name.
func (s Spec) Service(name string) (Service, bool) {
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc, true
		}
	}
	return Service{}, false
}

// EffectiveHosts are the hosts that a service answers to: those of the spec, else <environment>.localhost for an
// environment of one service and <service>.<environment>.localhost for one of several.
func (s Spec) EffectiveHosts(environment string, svc Service) []string {
	if len(svc.Hosts) > 0 {
		return svc.Hosts
	}
	if len(s.Services) == 1 {
		return []string{environment + ".localhost"}
	}
	return []string{svc.Name + "." + environment + ".localhost"}
}

func defaultSpec() Spec {
	return Spec{
		Routers: []string{Builtin}, Registry: "static",
		Validation: Validation{Timeout: Duration(5 * time.Minute), ValidFor: Duration(24 * time.Hour),
			MinHealthyPercent: 100, MinCapacityPercent: 100, Checks: []any{}},
		Promotion: Intake{Intake: IntakeQueue, Steps: []any{}, Checks: []any{}},
		Bake:      Bake{Interval: Duration(15 * time.Second), Checks: []any{}, OnFailure: "rollback"},
		Retention: Retention{KeepFor: Duration(time.Hour), KeepGenerations: 1, Drain: Duration(30 * time.Second)},
		Requires:  []any{},
		Networks:  Networks{CheckAllow: []string{}, PreviewAllow: []string{"127.0.0.0/8", "::1/128"}},
	}
}

func defaultService() Service {
	return Service{Hosts: []string{}, Protocol: "http", Health: Health{
		Type: HealthTCP, Path: "/healthz", ExpectStatus: []StatusRange{{200, 399}},
		Interval: Duration(2 * time.Second), Timeout: Duration(time.Second), HealthyAfter: 2, UnhealthyAfter: 3,
	}}
}
