package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// number draws a generation: mostly one of the states that the command is made for, at times a retired or unknown one.
func (m *machine) number(label string, states ...GenerationState) int {
	var numbers []int
	for _, g := range m.e.Generations {
		numbers = append(numbers, g.Number)
		if slices.Contains(states, g.State) {
			numbers = append(numbers, g.Number, g.Number, g.Number, g.Number, g.Number, g.Number)
		}
	}
	if len(m.gone) > 0 {
		numbers = append(numbers, slices.Min(slices.Collect(maps.Keys(m.gone))))
	}
	return rapid.SampledFrom(append(numbers, m.e.LastNumber+1)).Draw(m.r, label)
}

// often is true three times of four, seldom once.
func (m *machine) often(label string) bool {
	return rapid.SampledFrom([]bool{true, true, true, false}).Draw(m.r, label)
}

func (m *machine) seldom(label string) bool { return !m.often("not " + label) }

func (m *machine) expected() *int64 {
	if m.often("any revision") {
		return nil
	}
	revision := m.e.Revision
	if m.seldom("wrong revision") {
		revision++
	}
	return &revision
}

func (m *machine) Promote() {
	cmd := PromoteCommand{Actor: alice, Generation: m.number("generation", Ready, Shifting), ExpectedRevision: m.expected(),
		Supersede: m.seldom("supersede") != (m.e.Promotion != nil), Force: m.seldom("force")}
	switch split := len(m.e.Weights.Numbers()) > 1; {
	case split && m.seldom("the live one"):
		cmd.Generation = m.e.Live
	case split && m.e.candidate() != 0:
		cmd.Generation = m.e.candidate()
	}
	e := m.naming(cmd.Generation)
	checkPlan(m.world, e, cmd)
	t, err := e.Promote(cmd, m.now)
	if err == nil && cmd.Generation == e.Live && t.Answer.Changed {
		m.counts["promote the live one"]++
	}
	m.try("promote", t, err)
}

func (m *machine) Rollback() {
	cmd := RollbackCommand{Actor: alice, ExpectedRevision: m.expected(), Force: m.seldom("force")}
	if m.seldom("with from") {
		cmd.From = m.number("from", Live, Shifting)
	}
	if m.seldom("with to") {
		cmd.To = m.number("to", Standby)
	}
	if target := m.e.destination(cmd); m.seldom("kill the target") && m.gone[target].Number == 0 && target != 0 && target <= m.e.LastNumber {
		m.observe(m.e.Record(Facts{Readings: m.readings(target, 0)}, m.now))
	}
	e := m.naming(cmd.From)
	if _, ok := e.Generation(cmd.To); !ok {
		e = m.naming(cmd.To)
	}
	t, err := e.Rollback(cmd, m.now)
	m.asksNothing(e, cmd, t, err)
	if cmd == (RollbackCommand{Actor: alice}) && m.e.DeletingAt == nil {
		if ready := m.e.Readiness(m.now); ready.Ready != (err == nil) || (err == nil && ready.Generation != t.After.Live) {
			m.Fatalf("readiness %+v, and the rollback %+v: %v", ready, t.Answer, err)
		}
	}
	m.try("rollback", t, err)
}

// asksNothing wants the same outcome without lock, nodes, staging, validations, and any health but the target's.
func (m *machine) asksNothing(e Environment, cmd RollbackCommand, t Transition, err error) {
	m.Helper()
	target := e.destination(cmd)
	e.Lock, e.Nodes, e.Stagings, e.Receipts = nil, nil, nil, nil
	e.Readings = slices.DeleteFunc(slices.Clone(e.Readings), func(r Reading) bool { return r.Generation != target })
	e.Generations = slices.Clone(e.Generations)
	for i := range e.Generations {
		e.Generations[i].Checked = ValidationRecord{}
	}
	bare, bareErr := e.Rollback(cmd, m.now)
	if (err == nil) != (bareErr == nil) || (err == nil && (bare.After.Live != t.After.Live || bare.After.Revision != t.After.Revision)) {
		m.Fatalf("rollback %+v: %v; without lock and the side it leaves: %v", cmd, err, bareErr)
	}
	switch r := refusal(err); {
	case r == nil:
	case !slices.Contains([]Code{RevisionMismatch, Conflict, InvalidRequest, NotFound, RollbackUnavailable, RollbackTargetUnhealthy}, r.Code):
		m.Fatalf("rollback %+v: %v", cmd, err)
	case r.Code == RollbackTargetUnhealthy && cmd.Force:
		m.Fatalf("rollback %+v by a person: %v", cmd, err)
	}
}

func (m *machine) Weights() {
	share := rapid.SampledFrom([]int{0, 1, 10, 50, 99, 100, 101}).Draw(m.r, "share")
	cmd := WeightsCommand{Actor: alice, Weights: Weights{m.number("one", Ready, Shifting, Standby): share}, ExpectedRevision: m.expected()}
	cmd.Weights[m.e.Live] = 100 - share
	t, err := m.naming(0).SetWeights(cmd, m.now)
	m.try("weights", t, err)
}

// Split gives the newest ready generation a share, where there is a live one.
func (m *machine) Split() {
	m.Converge()
	for _, g := range slices.Backward(m.e.Generations) {
		if g.State == Ready && m.e.Live != 0 {
			t, err := m.weights(Weights{m.e.Live: 90, g.Number: 10})
			m.try("weights", t, err)
			return
		}
	}
}

// Neglect registers a generation that nobody stages in time.
func (m *machine) Neglect() {
	m.Register()
	m.now = m.now.Add(5 * time.Minute)
	m.beat()
	m.observe(m.e.Settle(m.now))
}

func (m *machine) Validate() {
	n := m.number("generation", Ready, Failed, Rejected)
	for _, g := range m.e.Generations {
		if (g.State == Failed || g.State == Rejected) && m.often("what failed") {
			n = g.Number
		}
	}
	t, err := m.naming(n).Validate(ValidateCommand{Actor: alice, Generation: n}, m.now)
	m.try("validate", t, err)
}

func (m *machine) Retire() {
	n := m.number("generation")
	t, err := m.naming(n).Retire(RetireCommand{Actor: alice, Generation: n}, m.now)
	m.try("retire", t, err)
}

func (m *machine) Retain() {
	n := m.number("generation", Standby, Rejected)
	until := m.now.Add(time.Duration(rapid.IntRange(-1, 3).Draw(m.r, "hours")) * time.Hour)
	t, err := m.naming(n).Retain(RetentionCommand{Actor: alice, Generation: n, KeepUntil: until}, m.now)
	m.try("retain", t, err)
}

func (m *machine) Register() {
	m.made++
	t, err := m.e.Register(RegisterCommand{Actor: alice, Version: fmt.Sprint("v", m.made), Groups: m.groups(), Promote: m.seldom("promote")}, m.now)
	m.try("register", t, err)
}

func (m *machine) Lock() {
	if m.e.Lock == nil {
		t, err := m.e.SetLock(LockCommand{Actor: alice, Reason: "why"}, m.now)
		m.try("lock", t, err)
		return
	}
	t, err := m.e.ClearLock(alice, m.now)
	m.try("unlock", t, err)
}

func (m *machine) Release() {
	t, err := m.e.ReleaseAutomation(alice, m.now)
	m.try("release", t, err)
}

func (m *machine) Replace() {
	spec := m.e.Spec
	spec.Services = slices.Clone(spec.Services)
	switch rapid.IntRange(0, 3).Draw(m.r, "what") {
	case 0:
		spec.Retention.KeepGenerations = (spec.Retention.KeepGenerations + 1) % 4
	case 1:
		spec.Validation.MinCapacityPercent = 150 - spec.Validation.MinCapacityPercent
	case 2:
		spec.Services[0].Hosts = []string{fmt.Sprintf("h%d.example", m.e.SpecVersion)}
	case 3:
		api := defaultService()
		api.Name = "api"
		if spec.Services = append(spec.Services, api); len(spec.Services) > 2 {
			spec.Services = spec.Services[:1]
		}
	}
	t, err := m.e.Replace(PutCommand{Actor: alice, Spec: spec}, m.now)
	m.try("replace", t, err)
}

// Delete is rare, and a deleted environment is created again.
func (m *machine) Delete() {
	if m.e.DeletedAt != nil {
		spec := m.e.Spec
		t, err := m.e.Create(PutCommand{Actor: alice, Name: "shop", Spec: spec}, m.now)
		m.try("create", t, err)
		m.e.Nodes = nil
		m.beat()
		return
	}
	if m.seldom("delete") {
		t, err := m.e.Delete(DeleteCommand{Actor: alice, Force: m.seldom("force")}, m.now)
		m.try("delete", t, err)
	}
}
