package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSelection(t *testing.T) {
	t.Parallel()
	meta := func(key, value string) map[string]string { return map[string]string{key: value} }
	none := map[string]string{}
	for filter, want := range map[string]Selection{
		`Service.Meta.build == "1812"`:                                             {nil, meta("build", "1812"), none},
		`Service.Meta["build-no"]==1812`:                                           {nil, meta("build-no", "1812"), none},
		`(Service.Meta.build == v7)`:                                               {nil, meta("build", "v7"), none},
		"Node.Meta.pool == `a \"b\"`":                                              {nil, none, meta("pool", `a "b"`)},
		`"v2" in Service.Tags and Service.Tags contains "a" and a in Service.Tags`: {[]string{"a", "v2"}, none, none},
		`"v2" in Service.Tags and (Node.Meta.pool == "x" and (Service.Meta.build == "1" and Service.Meta.build == "1"))`: {
			[]string{"v2"}, meta("build", "1"), meta("pool", "x")},
	} {
		got, err := ParseSelection(filter)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", filter, err, diff)
		}
	}
	for _, filter := range []string{"", "x", `Service.Meta.a == "1" or Service.Meta.b == "2"`, `not Service.Meta.a == "1"`, `Service.Meta.a != "1"`,
		`Service.Meta.a == ""`, `Service.Meta.a == "1" and Service.Meta.a == "2"`, `Service.Meta.a is empty`, `Service.Meta.a matches "1"`,
		`"V2" in Service.Tags`, `"!v2" in Service.Tags`, `"v2" not in Service.Tags`, `Service.ID == "web-1"`, `Node.Node == "n"`, `Service.Meta == "1"`,
		`any Service.Tags as tag { tag == "a" }`, `"/Service/Meta/build" == "1"`, `Checks.Status == "passing"`, `Service.Meta.a == "1" and`} {
		if got, err := ParseSelection(filter); err == nil {
			t.Errorf("%s is read as %+v", filter, got)
		}
	}
}

// Parentheses in each other make the work of a parser grow by powers: it has its bound.
func TestParseSelection_Hostile(t *testing.T) {
	t.Parallel()
	began := time.Now()
	for _, filter := range []string{strings.Repeat("(", 900) + "a == 1" + strings.Repeat(")", 900), strings.Repeat("(", maxFilter), strings.Repeat("not ", 499),
		strings.Repeat(`"`, maxFilter), strings.Repeat("a[`", 600)} {
		if _, err := ParseSelection(filter); err == nil {
			t.Errorf("%.20s… is read", filter)
		}
	}
	if _, err := ParseSelection(strings.TrimSuffix(strings.Repeat(`Service.Meta.build == "1812" and `, maxFilter/33), " and ")); err != nil {
		t.Errorf("as long as it may be: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestAdoption_Overlaps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		one, other string
		want       bool
	}{
		{`Service.Meta.build == "1"`, `Service.Meta.build == "2"`, false},
		{`Service.Meta.build == "1"`, `Service.Meta["build"] == 1`, true},
		{`Service.Meta.build == "1"`, `Service.Meta.build == "1" and "a" in Service.Tags`, true},
		{`Service.Meta.build == "1"`, `Node.Meta.build == "1"`, false},
		{`"a" in Service.Tags`, `"b" in Service.Tags`, false},
		{`"a" in Service.Tags`, `Service.Meta.build != "1"`, false}, // not known to
		{`Service.Meta.build != "1"`, `Service.Meta.build != "1"`, true},
		{``, `Service.Meta.build == "1"`, true},
	} {
		one, other := Adoption{Service: "web", Filter: c.one}, Adoption{Service: "web", Filter: c.other}
		if one.Overlaps(other) != c.want || other.Overlaps(one) != c.want {
			t.Errorf("%s and %s overlap: %v", c.one, c.other, !c.want)
		}
		if other.Service = "api"; one.Overlaps(other) {
			t.Errorf("%s overlaps with another service", c.one)
		}
	}
}
