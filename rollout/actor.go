package rollout

// ActorKind is who asks: a person or program with a token, or Viridian itself.
type ActorKind string

// The kinds of actor.
const (
	ActorToken  ActorKind = "token"
	ActorSystem ActorKind = "system"
)

// Actor is who asks for something; its name goes into switches and events.
type Actor struct {
	Kind ActorKind
	ID   string // token id; empty for the system
	Name string
}

// System is Viridian acting on its own rules.
var System = Actor{Kind: ActorSystem, Name: "viridian"}

// String is the form recorded in switches and events: "token:ci", "viridian".
func (a Actor) String() string {
	if a.Kind == ActorSystem {
		return a.Name
	}
	return string(a.Kind) + ":" + a.Name
}
