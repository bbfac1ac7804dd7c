package web

import "net/url"

// Overview is the page of all environments.
type Overview struct {
	Environments []Environment // those that match the filter, by name
	Total        int           // that the viewer may see
	Filter       Filter
	Create       Action
}

// Filter narrows the overview down.
type Filter struct {
	Text  string // part of a name or description
	State FilterState
}

// FilterState is a word of [FilterStates].
type FilterState string

// The states that the overview is filtered by.
const (
	AnyState       FilterState = ""
	NeedsAttention FilterState = "attention"
	Switching      FilterState = "switching"
	Locked         FilterState = "locked"
	HeldBack       FilterState = "held"
	Steady         FilterState = "steady"
	NothingLive    FilterState = "idle"
)

// FilterStates lists the states in the order of the choice, with their labels.
func FilterStates() []struct {
	State FilterState
	Label string
} {
	return []struct {
		State FilterState
		Label string
	}{{AnyState, "any state"}, {NeedsAttention, "needs attention"}, {Switching, "switching"}, {Steady, "steady"},
		{Locked, "locked"}, {HeldBack, "automation held"}, {NothingLive, "nothing live"}}
}

// Narrow says whether the filter leaves anything out.
func (f Filter) Narrow() bool { return f.Text != "" || f.State != AnyState }

// Query is the filter as a query string.
func (f Filter) Query() url.Values {
	out := url.Values{}
	if f.Text != "" {
		out.Set("q", f.Text)
	}
	if f.State != AnyState {
		out.Set("state", string(f.State))
	}
	return out
}

// Attention is how many environments ask for a person.
func (o Overview) Attention() int {
	n := 0
	for _, e := range o.Environments {
		if e.Attention() {
			n++
		}
	}
	return n
}

// live is the side that serves, if one does.
func (e Environment) live() *Generation {
	for _, half := range []Half{e.Blue, e.Green} {
		if half.Main != nil && half.Main.Number == e.Live && e.Live != 0 {
			return half.Main
		}
	}
	return nil
}

// candidates are the generations that a promote could make live, the newest first.
func (e Environment) candidates() []Generation {
	var out []Generation
	for _, half := range []Half{e.Blue, e.Green} {
		if half.Main != nil && half.Main.Actions.Promote != nil {
			out = append(out, *half.Main)
		}
		for _, g := range half.Others {
			if g.Actions.Promote != nil {
				out = append(out, g)
			}
		}
	}
	for i := 1; i < len(out); i++ {
		for k := i; k > 0 && out[k].Number > out[k-1].Number; k-- {
			out[k], out[k-1] = out[k-1], out[k]
		}
	}
	return out
}
