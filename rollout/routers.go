package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CheckRouters refuses, with [InvalidRequest], a specification that names a router which the installation does not
// have. Known are the names of those that it has.
func (s Spec) CheckRouters(known []string) error {
	known = slices.Sorted(slices.Values(known))
	var wrong []FieldError
	for i, name := range s.Routers {
		if slices.Contains(known, name) {
			continue
		}
		detail := fmt.Sprintf("no router %q is configured; there are: %s", name, strings.Join(known, ", "))
		if near := Nearest(name, known); near != "" {
			detail = fmt.Sprintf("no router %q is configured; did you mean %q?", name, near)
		}
		wrong = append(wrong, FieldError{Pointer: pointerTo("/routers", strconv.Itoa(i)), Detail: detail})
	}
	if len(wrong) == 0 {
		return nil
	}
	r := Refuse(InvalidRequest, "the specification names a router that this installation does not have: "+wrong[0].Detail,
		"name one that GET /v1/routers lists, or configure it in viridian.yaml under routers, on every replica")
	r.Errors = wrong
	return r
}

// EverSeen says whether the node was ever heard of. One that was not is known by the configuration alone, and has no
// incarnation.
func (n Node) EverSeen() bool { return n.SeenAt.Unix() > 0 }

// droppedNode finds a node of a router that the other spec leaves out and that still knows a generation: nobody would
// tell it of a switch or a retirement any more.
func (e Environment) droppedNode(spec Spec) (n Node, generation int) {
	for _, n := range e.Nodes {
		if slices.Contains(spec.Routers, n.Router) {
			continue
		}
		for _, s := range e.Stagings {
			if s.Router == n.Router && s.Node == n.Name {
				return n, s.Generation
			}
		}
		if r, ok := e.Receipt(n); ok && len(r.Weights.Numbers()) > 0 {
			return n, r.Weights.Numbers()[0]
		}
	}
	return Node{}, 0
}
