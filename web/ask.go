package web

import "viridian/rollout"

// Ask is a dialog in which somebody does something: what it would change, what keeps it from happening, and what is
// asked. It is a form that is sent to Path.
type Ask struct {
	Title  string
	Lead   string // what will happen, in a sentence
	Path   string
	Back   string // where Cancel leads
	CSRF   string
	Key    string   // sent along, so that a form that is sent twice is carried out once
	Hidden []Hidden // what the person saw: revision, generation

	Problem *Problem // it was refused
	Winner  *Switch  // the switch of somebody who was first
	Plan    *Plan
	Facts   []Fact
	Blocked []Blocked
	Warn    string // what somebody should know before they do it; it keeps nobody from it

	Choices     []Choices
	ChoicesLast bool // behind the fields
	Fields      []Field
	Ticks       []Tickable

	Look    Look
	Submit  string // label of its button
	Preview bool   // it can be asked what the values would come to
	Refused string // why the button cannot be pressed; empty when it can
}

// Hidden is a value that goes with a form unseen.
type Hidden struct{ Name, Value string }

// Choices is a question with one answer of several.
type Choices struct {
	Name, Legend string
	List         []Choice
	Error        string // what is wrong with the answer; empty when nothing is
}

// Tickable is something that may be asked for besides.
type Tickable struct {
	Name, Label, Hint string
	On                bool
}

// Blocked is one thing that keeps it from happening, and what helps. Lifted names the tick that would lift it.
type Blocked struct {
	Detail string
	Fixes  []string
	Lifted string
}

// Plan is what a change of the route would come to.
type Plan struct {
	Revision int64 // of the present route
	Now      []Share
	Then     []Share
	Rows     []PlanRow
	Nodes    []PlanNode
	Health   []ServiceHealth // of where the traffic goes
	After    string          // where a rollback would go afterwards
	Warnings []string
}

// PlanRow is one generation before and after.
type PlanRow struct {
	Number    int
	Version   string
	Colour    rollout.Colour
	State     rollout.GenerationState
	Becomes   rollout.GenerationState // empty where that is not known, or where it stays
	Now, Then int
}

// PlanNode is a node that the change has to reach.
type PlanNode struct {
	Router, Name string
	Tone         Tone
	Text         string
}

func nodesLead(p Plan) string {
	if len(p.Nodes) == 0 {
		return "No load balancer node is known: nothing would carry this out."
	}
	return "Revision " + itoa64(p.Revision) + " now. It is carried out by " + plural(len(p.Nodes), "node", "nodes") + ":"
}
