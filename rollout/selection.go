package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-bexpr/grammar"
)

// Selection is a filter of Consul as what a prepared query can carry: all of it must hold of an instance.
type Selection struct {
	Tags        []string          // in order
	ServiceMeta map[string]string // what the instance has
	NodeMeta    map[string]string // what its node has
}

// SelectionForms says which filters are selections.
const SelectionForms = `Service.Meta.KEY == "VALUE", "TAG" in Service.Tags and Node.Meta.KEY == "VALUE", joined by "and"`

// filterSteps bounds the work of reading a filter: parentheses in each other double it every time.
const filterSteps = 200_000

// readable says why a filter is none that Consul can read; which selectors there are only Consul knows.
func readable(filter string) error {
	if filter == "" {
		return nil
	}
	if _, err := grammar.Parse("", []byte(filter), grammar.MaxExpressions(filterSteps)); err != nil {
		return fmt.Errorf("no filter expression of Consul: %w", err)
	}
	return nil
}

// ParseSelection reads a filter. The error says what in it no selection has.
func ParseSelection(filter string) (Selection, error) {
	s := Selection{ServiceMeta: map[string]string{}, NodeMeta: map[string]string{}}
	tree, err := grammar.Parse("", []byte(filter), grammar.MaxExpressions(filterSteps))
	if err != nil {
		return s, fmt.Errorf("the filter cannot be read: %w", err)
	}
	if err := s.add(tree); err != nil {
		return s, err
	}
	slices.Sort(s.Tags)
	s.Tags = slices.Compact(s.Tags)
	return s, nil
}

func (s *Selection) add(tree any) error {
	switch e := tree.(type) {
	case *grammar.BinaryExpression:
		if e.Operator != grammar.BinaryOpAnd {
			return fmt.Errorf("it has %q", "or")
		}
		if err := s.add(e.Left); err != nil {
			return err
		}
		return s.add(e.Right)
	case *grammar.MatchExpression:
		return s.match(e)
	}
	return fmt.Errorf(`it has "not", "any" or "all"`)
}

func (s *Selection) match(e *grammar.MatchExpression) error {
	path := e.Selector.Path
	if e.Selector.Type != grammar.SelectorTypeBexpr || e.Value == nil {
		return fmt.Errorf("it asks for %s otherwise than by a value", e.Selector)
	}
	value := e.Value.Raw
	switch {
	case len(path) == 3 && path[1] == "Meta" && e.Operator == grammar.MatchEqual && path[0] == "Service":
		return keep(s.ServiceMeta, path[2], value)
	case len(path) == 3 && path[1] == "Meta" && e.Operator == grammar.MatchEqual && path[0] == "Node":
		return keep(s.NodeMeta, path[2], value)
	case slices.Equal(path, []string{"Service", "Tags"}) && (e.Operator == grammar.MatchIn || e.Operator == grammar.MatchContains):
		if value == "" || value[0] == '!' || strings.ToLower(value) != value {
			return fmt.Errorf("a tag that a prepared query can ask for is in lower case, and does not begin with an exclamation mark: %q", value)
		}
		s.Tags = append(s.Tags, value)
		return nil
	}
	return fmt.Errorf("it asks for %s %s", e.Selector, e.Operator)
}

// keep refuses what would match nobody, and what Consul reads in two ways: a key that is missing, or empty.
func keep(meta map[string]string, key, value string) error {
	if before, twice := meta[key]; value == "" || twice && before != value {
		return fmt.Errorf("nothing has %s as it is asked for", key)
	}
	meta[key] = value
	return nil
}

// covers says that whatever the other one selects, this one does.
func (s Selection) covers(other Selection) bool {
	return !slices.ContainsFunc(s.Tags, func(tag string) bool { return !slices.Contains(other.Tags, tag) }) &&
		within(s.ServiceMeta, other.ServiceMeta) && within(s.NodeMeta, other.NodeMeta)
}

func within(meta, other map[string]string) bool {
	for key, value := range meta {
		if v, ok := other[key]; !ok || v != value {
			return false
		}
	}
	return true
}

// Overlaps says that two adoptions are known to find the same instances, so that nothing that goes by their filters
// tells their generations apart. Filters that are no selections are compared as texts.
func (a Adoption) Overlaps(other Adoption) bool {
	if a.Service != other.Service {
		return false
	}
	one, errOne := ParseSelection(a.Filter)
	two, errTwo := ParseSelection(other.Filter)
	if errOne != nil || errTwo != nil {
		return a.Filter == "" || other.Filter == "" || a.Filter == other.Filter
	}
	return one.covers(two) || two.covers(one)
}
