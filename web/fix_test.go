package web

import "testing"

// TestFixFor_LeadsPeopleToPages, where the API tells programs of its calls.
func TestFixFor_LeadsPeopleToPages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]fix{
		"ask them, or clear it with DELETE /v1/environments/shop/lock": {Before: "ask them, or clear it with ", Label: "Unlock", Href: "/environments/shop/unlock", Dialog: true},
		"validate it again: POST /v1/environments/shop/generations/3/validate": {Before: "validate it again: ", Label: "Validate generation 3 again",
			Href: "/environments/shop/generations/3/validate", Dialog: true},
		`roll back to it: POST /v1/environments/shop/rollback with {"to": 12}`: {Before: "roll back to it: ", Label: "Roll back to generation 12",
			Href: "/environments/shop/rollback?to=12", Dialog: true},
		"wait until GET /v1/environments/shop/generations/3 shows it ready":               {Before: "wait until ", Label: "generation 3", Href: "/environments/shop/generations/3", After: " shows it ready"},
		"list them with GET /v1/environments/shop/generations":                            {Before: "list them with ", Label: "the page of shop", Href: "/environments/shop"},
		"list them with GET /v1/environments":                                             {Before: "list them with ", Label: "All environments", Href: "/"},
		"wait for the node, or take it out with DELETE /v1/routers/{router}/nodes/{node}": {Before: "wait for the node, or take it out with ", Label: "Fleet", Href: "/fleet"},
		"name one that GET /v1/routers lists, or configure it":                            {Before: "name one that ", Label: "Fleet", Href: "/fleet", After: " lists, or configure it"},
		"call GET /v1/nothing/known":                                                      {Before: "call GET /v1/nothing/known"},
		"correct what errors lists":                                                       {Before: "correct what is named here"},
		`see GET /v1/environments/"><script>/lock`:                                        {Before: `see GET /v1/environments/"><script>/lock`},
	} {
		if got := fixFor(text); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", text, got, want)
		}
	}
}
