package registry

import "viridian/rollout"

// Seen is what a watch reports.
type Seen struct {
	// Readings has one reading for each service, with At left zero; none while health is not known.
	Readings []rollout.Reading
	// Members are the groups that are followed and have other members now than the generation that is watched: all that
	// belong to each group now, never none, in no particular order. Nil while they are the same, or not known.
	Members []rollout.Group
	// Trouble says what keeps the registry from being read (then there are no readings) or written, once that has lasted
	// for a moment; nil that nothing does.
	Trouble error
}

// Report takes what a watch has seen. It must not block for long, and is never called concurrently.
type Report func(Seen)
