package server

import "testing"

func TestCan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		role        Role
		globs       []string
		action      Action
		environment string
		want        bool
	}{
		{Viewer, []string{"*"}, "route.show", "shop", true},
		{Viewer, []string{"*"}, "generation.promote", "shop", false},
		{Deployer, []string{"shop-*"}, "generation.promote", "shop-prod", true},
		{Deployer, []string{"shop-*"}, "generation.promote", "shop", false},
		{Deployer, []string{"*"}, actionForce, "shop", false},
		{Operator, []string{"*"}, actionForce, "shop", true},
		{Operator, []string{"*"}, "token.list", "", false},
		{Admin, []string{"shop"}, "token.list", "", true},
		{Admin, []string{"shop"}, "route.show", "other", false},
		{Admin, []string{"*"}, "no.action", "", false},
		{Admin, nil, "route.show", "shop", false},
		{"", []string{"*"}, "self.show", "", false},
		{"root", []string{"*"}, "self.show", "", false},
	} {
		if have := Can(Caller{Role: test.role, Environments: test.globs}, test.action, test.environment); have != test.want {
			t.Errorf("Can(%s %v, %s, %q) = %v", test.role, test.globs, test.action, test.environment, have)
		}
	}
}

func TestMatchGlob(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		glob, name string
		want       bool
	}{
		{"*", "shop", true}, {"*", "", true}, {"shop", "shop", true}, {"shop", "shop2", false}, {"shop", "sho", false}, {"", "", true}, {"", "a", false},
		{"shop-*", "shop-prod", true}, {"shop-*", "shop-", true}, {"shop-*", "shop", false}, {"*-prod", "shop-prod", true}, {"*-prod", "shop-prod-2", false},
		{"a*b*c", "a1b2c", true}, {"a*b*c", "abc", true}, {"a*b*c", "acb", false}, {"**", "x", true}, {"*a*", "bab", true}, {"*aab", "aaaab", true},
		{"a.c", "abc", false}, {"[a]", "a", false}, {"?", "a", false},
	} {
		if have := matchGlob(test.glob, test.name); have != test.want {
			t.Errorf("matchGlob(%q, %q) = %v", test.glob, test.name, have)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		globs, others []string
		want          bool
	}{
		{[]string{"*"}, []string{"*"}, true}, {[]string{"shop"}, []string{"*"}, true}, {[]string{"shop-*"}, []string{"shop-*"}, true},
		{[]string{"shop-a*"}, []string{"shop-*"}, true}, {[]string{"shop-*"}, []string{"shop-a*"}, false}, {[]string{"*"}, []string{"shop-*"}, false},
		{[]string{"a", "b"}, []string{"a"}, false}, {[]string{"a", "b"}, []string{"b", "a"}, true}, {[]string{"*-prod"}, []string{"*"}, true},
		{[]string{"*a"}, []string{"a*"}, false}, {[]string{"**"}, []string{"*"}, true},
	} {
		if have := within(test.globs, test.others); have != test.want {
			t.Errorf("within(%v, %v) = %v", test.globs, test.others, have)
		}
	}
}
