package controller

import (
	"context"
	"maps"
	"slices"

	"viridian/rollout"
)

// leave gives up an environment that this program does not understand, so that a newer one can claim it.
func (w *Worker) leave(t *tenure, why string) {
	t.end()
	w.mu.Lock()
	_, known := w.left[t.name]
	w.left[t.name] = w.versions[t.name]
	w.mu.Unlock()
	if !known {
		w.log.Warn("environment is left to replicas of a newer version, which wrote it", "environment", t.name, "reason", why)
	}
}

// leftAlone lists the environments that are not claimed.
func (w *Worker) leftAlone() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.left))
}

// lookAgain claims environments once more that have changed, and are understood now.
func (w *Worker) lookAgain(ctx context.Context, versions map[string]int64) error {
	w.mu.Lock()
	left := maps.Clone(w.left)
	w.mu.Unlock()
	for name, at := range left {
		version, exists := versions[name]
		if exists && version == at {
			continue
		}
		understood := !exists
		if exists {
			e, _, err := w.Store.Environment(ctx, name)
			if err != nil {
				return err
			}
			understood = e.Foreign() == ""
		}
		w.mu.Lock()
		if w.left[name] = version; understood {
			delete(w.left, name)
		}
		w.mu.Unlock()
	}
	return nil
}

// tellForeign logs, once, that others decide on the environment. The node follows its route all the same: a rollback
// by a newer replica must reach the nodes of the older ones.
func (f *Follower) tellForeign(e rollout.Environment) {
	why := e.Foreign()
	strange := ""
	if why != "" {
		strange = "foreign"
	}
	if f.news(e.Name, strange) && why != "" {
		f.log.Warn("a newer version wrote what this one does not understand; its route is followed, the rest is left alone",
			"environment", e.Name, "reason", why)
	}
}

// news says whether what is strange about the environment was not logged yet; empty when nothing is.
func (f *Follower) news(environment, strange string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.strange[environment]
	if f.strange[environment] = strange; strange == "" {
		delete(f.strange, environment)
	}
	return before != strange
}

// environments lists what the node knows by itself, from a state file say, where it can tell.
func (f *Follower) environments() []string {
	if local, ok := f.Local.(interface{ Environments() []string }); ok {
		return local.Environments()
	}
	return nil
}

// tellUnknown logs, once, what the node serves and the database has never heard of: it was restored from a copy that is
// older. It goes on being served; when an environment of the name is created, its node is found ahead.
func (f *Follower) tellUnknown(ctx context.Context, served []string, versions map[string]int64) {
	still := f.environments()
	for _, name := range served {
		if _, known := versions[name]; known || !slices.Contains(still, name) {
			continue
		}
		if r, err := f.observe(ctx, name); err == nil && r.Weights.Sum() > 0 && f.news(name, "unknown") {
			f.log.Warn("the node serves an environment that the database does not know, and goes on; was the database restored from an older copy?",
				"environment", name, "revision", r.Revision, "weights", r.Weights)
		}
	}
}
