package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Follows lists the services of which the generation follows the instances that a registry has.
func (g Generation) Follows() []string {
	var out []string
	for _, service := range slices.Sorted(maps.Keys(g.Adopts)) {
		if g.Adopts[service].Membership == Follow {
			out = append(out, service)
		}
	}
	return out
}

// MembersSeen says that followed groups have other members now.
type MembersSeen struct {
	Generation int
	Since      time.Time // the MembersAt of the groups that these are compared with
	Was, Now   []Group   // the groups that changed, before and after; none is empty
}

// NextMembers is what groups of a generation become when the members of some are those of now. Members keep their
// places, a newcomer takes that of one that left, and the last ones fill what is left over: so that a load balancer
// moves as few as possible. taken has, by [Instance.Target], whose the instances are that another generation has. What
// cannot join is left out, and told by service; a group never becomes empty.
//
// Where most of a group are gone at once, a registry may have lost them, and not the group: those that are gone stay, each
// until one is there in its stead, so that the group is no larger than it was. losses has by service how large that was,
// and more has it afterwards; a nil map is for who has lost patience.
func NextMembers(all, now []Group, taken map[string]string, losses map[string]int) (changed MembersSeen, leftOut map[string][]string, more map[string]int) {
	more = map[string]int{}
	leftOut = map[string][]string{}
	places := map[string]bool{}
	for _, group := range all {
		for _, in := range group.Instances {
			places[in.Target()] = true
		}
	}
	for _, group := range all {
		i := slices.IndexFunc(now, func(other Group) bool { return other.Service == group.Service })
		if i < 0 {
			continue
		}
		stay, left, joined := compareMembers(group.Instances, now[i].Instances)
		for _, in := range left {
			delete(places, in.Target())
		}
		joined = slices.DeleteFunc(joined, func(in Instance) bool {
			why := cannotJoin(in, stay, places, taken)
			switch {
			case why == "" && len(stay) >= maxAdopted:
				why = fmt.Sprintf("is one too many: a group has at most %d", maxAdopted)
			case why == "":
				places[in.Target()], stay[in.ID] = true, true
			}
			if why != "" {
				leftOut[group.Service] = append(leftOut[group.Service], in.ID+" at "+in.Target()+" "+why)
			}
			return why != ""
		})
		there := len(group.Instances) - len(left) + len(joined)
		size, lost := losses[group.Service]
		if !lost && len(left) > there {
			size, lost = len(group.Instances), losses != nil
		}
		if lost = lost && there < size && len(left) > 0; lost {
			more[group.Service] = size
		}
		switch {
		case there == 0:
			left = withoutKept(left, len(left), stay, places)
		case lost:
			left = withoutKept(left, size-there, stay, places)
		}
		if len(left)+len(joined) == 0 {
			continue
		}
		next := group
		next.Instances = arrange(group.Instances, left, joined)
		changed.Was, changed.Now = append(changed.Was, group), append(changed.Now, next)
	}
	return changed, leftOut, more
}

// withoutKept is left without those that are kept: all but those whose place or name another has, and no more than there
// is room for.
func withoutKept(left []Instance, room int, ids, places map[string]bool) []Instance {
	return slices.DeleteFunc(left, func(in Instance) bool {
		kept := !places[in.Target()] && !ids[in.ID] && room > 0
		if kept {
			places[in.Target()] = true
			room--
		}
		return kept
	})
}

// compareMembers says whose ids stay, who left, and who is new.
func compareMembers(was, now []Instance) (stay map[string]bool, left, joined []Instance) {
	stay = map[string]bool{}
	for _, in := range was {
		if slices.ContainsFunc(now, in.same) {
			stay[in.ID] = true
		} else {
			left = append(left, in)
		}
	}
	for _, in := range now {
		if !slices.ContainsFunc(was, in.same) {
			joined = append(joined, in)
		}
	}
	return stay, left, joined
}

func cannotJoin(in Instance, ids, places map[string]bool, taken map[string]string) string {
	wrong := checkInstances([]Group{{Instances: []Instance{in}}})
	switch {
	case len(wrong) > 0:
		return "cannot be used: " + wrong[0].Detail
	case ids[in.ID]:
		return "has the id of another member"
	case places[in.Target()]:
		return "is where another instance of the generation is"
	case taken[in.Target()] != "":
		return "belongs to " + taken[in.Target()]
	}
	return ""
}

// arrange is the list without those that left, and with those that joined.
func arrange(was, left, joined []Instance) []Instance {
	out := slices.Clone(was)
	var holes []int
	for i, in := range out {
		if !slices.ContainsFunc(left, in.same) {
			continue
		}
		if len(joined) > 0 {
			out[i], joined = joined[0], joined[1:]
		} else {
			holes = append(holes, i)
		}
	}
	for len(holes) > 0 {
		last := len(out) - 1
		if hole := holes[len(holes)-1]; hole == last {
			holes = holes[:len(holes)-1]
		} else {
			out[holes[0]], holes = out[last], holes[1:]
		}
		out = out[:last]
	}
	return append(out, joined...)
}

// Target is the address and port of the instance, as one text.
func (in Instance) Target() string {
	if strings.Contains(in.Address, ":") { // IPv6
		return "[" + in.Address + "]:" + strconv.Itoa(in.Port)
	}
	return in.Address + ":" + strconv.Itoa(in.Port)
}

func (in Instance) same(other Instance) bool {
	return in.ID == other.ID && in.Address == other.Address && in.Port == other.Port && maps.Equal(in.Meta, other.Meta)
}

// members takes the members that a followed generation has now. What was compared with older ones is dropped.
func (c *change) members(seen MembersSeen) {
	g, ok := c.e.Generation(seen.Generation)
	if !ok || !g.Adopted || !g.State.Holds() || !g.MembersAt.Equal(seen.Since) || len(seen.Now) == 0 {
		return
	}
	follows := g.Follows()
	for _, group := range seen.Now {
		if !slices.Contains(follows, group.Service) || len(group.Instances) == 0 {
			return
		}
	}
	c.edit(g.Number, func(g *Generation) {
		g.MembersAt, g.Sizes = c.afterMembers(*g), maps.Clone(g.Sizes)
		for _, group := range seen.Now {
			g.Sizes[group.Service] = len(group.Instances)
		}
	})
	c.t.Members = append(c.t.Members, Members{Generation: g.Number, Groups: seen.Now})
	for i, group := range seen.Now {
		_, left, joined := compareMembers(seen.Was[i].Instances, group.Instances)
		c.event(EventGenerationMembers, g.Number, 0, map[string]any{"service": group.Service, "size": len(group.Instances),
			"joined": targets(joined), "left": targets(left)})
	}
}

// stageMembersAnew has every node get the members that a followed generation has, whatever it was told before.
func (c *change) stageMembersAnew(g *Generation) {
	if len(g.Follows()) > 0 && g.Adopted {
		g.MembersAt = c.afterMembers(*g)
	}
}

// afterMembers is a time for new members: later than that of the present ones, whatever the clock says.
func (c *change) afterMembers(g Generation) time.Time {
	if next := g.MembersAt.Add(time.Microsecond); next.After(c.now) {
		return next
	}
	return c.now
}

// Members are groups of a generation with the members that they have now.
type Members struct {
	Generation int
	Groups     []Group
}

// targets lists instances as an event shows them, and counts what would be too much to read.
func targets(instances []Instance) []string {
	const most = 100
	out := []string{}
	for i, in := range instances {
		if i == most {
			return append(out, fmt.Sprintf("and %d more", len(instances)-most))
		}
		out = append(out, in.ID+" "+in.Target())
	}
	return out
}
