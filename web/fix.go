package web

import (
	"regexp"
	"strings"
)

// fix is what helps, for a person: where the API names one of its own calls, Label leads to the page that does the same.
type fix struct {
	Before, Label, Href, After string
	Dialog                     bool // it opens over the page
}

// apiCall is how the API writes a call of its own in what helps.
var apiCall = regexp.MustCompile(`\b(GET|POST|PUT|DELETE) /v1(/[^\s,;]+)( with \{"to": ([0-9]+)\})?`)

// fixWays lists the calls that have a page, with what its link says. A part in the pattern stands for itself in the rest.
var fixWays = []struct {
	call        *regexp.Regexp
	label, href string
	dialog      bool
}{
	{regexp.MustCompile(`^DELETE (/environments/[^/]+)/lock$`), "Unlock", "$1/unlock", true},
	{regexp.MustCompile(`^POST (/environments/[^/]+/generations/([0-9]+))/validate$`), "Validate generation $2 again", "$1/validate", true},
	{regexp.MustCompile(`^POST (/environments/[^/]+)/rollback ([0-9]+)$`), "Roll back to generation $2", "$1/rollback?to=$2", true},
	{regexp.MustCompile(`^GET (/environments/[^/]+/generations/([0-9]+))$`), "generation $2", "$1", false},
	{regexp.MustCompile(`^GET (/environments/([^/]+))/generations$`), "the page of $2", "$1", false},
	{regexp.MustCompile(`^GET (/environments/([^/]+)/switches)$`), "the switches of $2", "$1", false},
	{regexp.MustCompile(`^GET /environments$`), "All environments", "/", false},
	{regexp.MustCompile(`^(?:GET|DELETE) /routers(?:/.*)?$`), "Fleet", "/fleet", false},
	{regexp.MustCompile(`^(?:GET|POST) /tokens$`), "Tokens", "/tokens", false},
}

// plainer says for people what the API says in the words of its requests.
var plainer = map[string]string{
	"correct what errors lists":                         "correct what is named here",
	"roll back to another standby, or with force: true": "roll back to another standby, or force it",
}

// fixFor puts a page into the place of the call that what helps names. Without one it stays as it is.
func fixFor(text string) fix {
	if plain, ok := plainer[text]; ok {
		text = plain
	}
	at := apiCall.FindStringSubmatchIndex(text)
	if at == nil {
		return fix{Before: text}
	}
	parts := apiCall.FindStringSubmatch(text)
	call := strings.TrimSpace(parts[1] + " " + parts[2] + " " + parts[4])
	for _, way := range fixWays {
		if found := way.call.FindStringSubmatchIndex(call); found != nil {
			expand := func(template string) string { return string(way.call.ExpandString(nil, template, call, found)) }
			return fix{Before: text[:at[0]], Label: expand(way.label), Href: expand(way.href), After: text[at[1]:], Dialog: way.dialog}
		}
	}
	return fix{Before: text}
}
