package rollout

import "time"

// Trouble is what keeps an environment's registry from being read or written.
type Trouble struct {
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"`
}

// TroubleText is what the registry has trouble with; empty for nothing.
func (e Environment) TroubleText() string {
	if e.Trouble == nil {
		return ""
	}
	return e.Trouble.Detail
}

// trouble notes what the registry has trouble with. It begins and ends with an event; in between it may change its words.
func (c *change) trouble(detail string) {
	switch old := c.e.Trouble; {
	case detail == "" && old == nil:
	case detail == "":
		c.e.Trouble = nil
		c.event(EventRegistryRecovered, 0, 0, map[string]any{"registry": c.e.Spec.Registry, "since": old.Since})
	case old == nil:
		c.e.Trouble = &Trouble{Detail: detail, Since: c.now}
		c.event(EventRegistryTroubled, 0, 0, map[string]any{"registry": c.e.Spec.Registry, "detail": detail})
	default:
		c.e.Trouble = &Trouble{Detail: detail, Since: old.Since}
	}
	c.t.Touched = true
}

// drift tells when a generation begins, ceases, or goes on in another way, to differ from what was registered.
func (c *change) drift(old, now Reading) {
	switch {
	case old.Drift == now.Drift:
	case now.Drift == "":
		c.event(EventGenerationAligned, now.Generation, 0, map[string]any{"service": now.Service})
	default:
		c.event(EventGenerationDrifted, now.Generation, 0, map[string]any{"service": now.Service, "detail": now.Drift})
	}
}
