package failpoint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

type actionKind int

const (
	actKill actionKind = iota + 1
	actError
	actHang
	actSleep
)

// action is what happens at a failpoint. nth is the hit it fires at, 0 for every hit. pause belongs to actSleep.
type action struct {
	kind  actionKind
	pause time.Duration
	nth   int
}

// parse reads a spec as [New] describes it.
func parse(spec string) (map[Name]action, error) {
	actions := make(map[Name]action)
	for item := range strings.SplitSeq(spec, ";") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		left, right, ok := strings.Cut(item, "=")
		if !ok {
			return nil, fmt.Errorf("failpoint %q: want name=action", item)
		}
		name := Name(strings.TrimSpace(left))
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("unknown failpoint %q; known are %s", name, known())
		}
		if _, twice := actions[name]; twice {
			return nil, fmt.Errorf("failpoint %s is given twice", name)
		}
		a, err := parseAction(strings.TrimSpace(right))
		if err != nil {
			return nil, fmt.Errorf("failpoint %s: %w", name, err)
		}
		actions[name] = a
	}
	return actions, nil
}

func parseAction(text string) (action, error) {
	verb, count, counted := strings.Cut(text, "@")
	var a action
	if counted {
		nth, err := strconv.Atoi(count)
		if err != nil || nth < 1 {
			return action{}, fmt.Errorf("hit number %q: want a number from 1", count)
		}
		a.nth = nth
	}
	inside, isSleep := strings.CutPrefix(verb, "sleep(")
	switch {
	case verb == "kill":
		a.kind = actKill
	case verb == "error":
		a.kind = actError
	case verb == "hang":
		a.kind = actHang
	case isSleep && strings.HasSuffix(inside, ")"):
		pause, err := time.ParseDuration(strings.TrimSuffix(inside, ")"))
		if err != nil || pause <= 0 {
			return action{}, fmt.Errorf("action %q: want a positive duration such as sleep(200ms)", verb)
		}
		a.kind, a.pause = actSleep, pause
	default:
		return action{}, fmt.Errorf("unknown action %q; known are kill, error, hang, sleep(DURATION)", verb)
	}
	return a, nil
}

func known() string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}
