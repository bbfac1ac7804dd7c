package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"viridian/rollout"
)

// Role is how much a caller may do; each may do what the ones before it may.
type Role string

// The roles, the least first.
const (
	Viewer   Role = "viewer"
	Deployer Role = "deployer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Roles lists the roles, the least first.
func Roles() []Role { return []Role{Viewer, Deployer, Operator, Admin} }

// covers says whether the role may do what needs the least role.
func (r Role) covers(least Role) bool {
	have := slices.Index(Roles(), r)
	return have >= 0 && have >= slices.Index(Roles(), least)
}

// Action names one thing that a caller may be allowed to do.
type Action string

// policy says the least role of every action. An action that is not here is allowed to nobody, and a route whose
// action is not here keeps the server from starting. The contract says the same (x-viridian-role).
var policy = map[Action]Role{
	"self.show":                 Viewer,
	"environment.list":          Viewer,
	"environment.show":          Viewer,
	"environment.spec_versions": Viewer,
	"route.show":                Viewer,
	"traffic.show":              Viewer,
	"generation.list":           Viewer,
	"generation.show":           Viewer,
	"promotion.list":            Viewer,
	"promotion.show":            Viewer,
	"switch.list":               Viewer,
	"switch.show":               Viewer,
	"event.list":                Viewer,
	"event.stream":              Viewer,
	"audit.verify":              Viewer,
	"audit.export":              Viewer,
	"router.list":               Viewer,
	"operations.metrics":        Viewer,
	"session.list":              Viewer,
	"session.end":               Viewer,

	"generation.register":  Deployer,
	"generation.validate":  Deployer,
	"generation.plan":      Deployer,
	"generation.promote":   Deployer,
	"generation.replace":   Deployer,
	"generation.patch":     Deployer,
	"environment.rollback": Deployer,

	"environment.create": Operator,
	"environment.put":    Operator,
	"generation.retire":  Operator,
	"weights.set":        Operator,
	"lock.set":           Operator,
	"lock.clear":         Operator,
	"automation.release": Operator,
	"retention.set":      Operator,
	actionForce:          Operator,

	"environment.delete": Admin,
	"token.list":         Admin,
	"token.create":       Admin,
	"token.delete":       Admin,
	"node.remove":        Admin,
}

// actionForce is asked besides a command's own action when it carries force.
const actionForce Action = "environment.force"

// public are the actions that need no token.
var public = map[Action]bool{
	"operations.livez": true, "operations.readyz": true, "operations.readyz_proxy": true,
	"operations.openapi": true, "operations.docs": true,
}

// Caller is who a request comes from: a token's name, role and the environments it is limited to, as globs in which
// * stands for any characters.
type Caller struct {
	TokenID      string
	Name         string
	Role         Role
	Environments []string
	ExpiresAt    *time.Time
}

// Actor is the caller as switches and events record it.
func (c Caller) Actor() rollout.Actor {
	return rollout.Actor{Kind: rollout.ActorToken, ID: c.TokenID, Name: c.Name}
}

// Sees says whether the environment's name is within the caller's globs. The empty name, which stands for what belongs
// to no environment, is within those that match every name.
func (c Caller) Sees(environment string) bool {
	return slices.ContainsFunc(c.Environments, func(glob string) bool {
		if environment == "" {
			return strings.Trim(glob, "*") == ""
		}
		return matchGlob(glob, environment)
	})
}

// everywhere are the actions that concern all environments at once: a caller who is limited to some may not.
var everywhere = map[Action]bool{"node.remove": true, "operations.metrics": true}

// Can says whether the caller may do this in the environment; an empty environment asks for the role alone, or for a
// caller of every environment where the action concerns them all. It is the one place where that is decided, and it
// does not know which environments exist.
func Can(caller Caller, action Action, environment string) bool {
	least, known := policy[action]
	if !known || !caller.Role.covers(least) {
		return false
	}
	return environment == "" && !everywhere[action] || caller.Sees(environment)
}

// allow is Can as an error.
func allow(caller Caller, action Action, environment string) error {
	if Can(caller, action, environment) {
		return nil
	}
	return rollout.Refuse(rollout.Forbidden, "the token does not allow this here",
		fmt.Sprintf("use a token with the role %s or above whose environments include this, or all (*) where it concerns them all", policy[action]))
}

// within says whether every environment that the globs match is matched by one of the others, too.
func within(globs, others []string) bool {
	for _, glob := range globs {
		// Read as a name, a * is met only by a * of the other glob, which also meets whatever it stands for.
		if !slices.ContainsFunc(others, func(other string) bool { return matchGlob(other, glob) }) {
			return false
		}
	}
	return true
}

// matchGlob says whether the whole name matches; * stands for any number of characters. It takes time in the product
// of both lengths at most.
func matchGlob(glob, name string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for j < len(name) {
		switch {
		case i < len(glob) && glob[i] == '*':
			star, from = i, j
			i++
		case i < len(glob) && glob[i] == name[j]:
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(glob[i:], "*") == ""
}
