package cli

import (
	"net/url"
	"regexp"
)

var (
	looksLikeURL   = regexp.MustCompile(`^[A-Za-z]+://`)
	looksLikePairs = regexp.MustCompile(`^\s*\w+\s*=`)
	passwordPair   = regexp.MustCompile(`(?i)(password\s*=\s*)('[^']*'|[^&\s]+)`)
	passwordPart   = regexp.MustCompile("(://[^:/@\\s]*):[^\\s`]*@") // to the last @: what is broken may have one in its password
)

// redacted is the value as it may be shown: without the passwords in it.
func (v settingValue) redacted() string {
	if !v.secret {
		return passwordPart.ReplaceAllString(v.Text, "${1}:xxxxx@")
	}
	return redactDatabase(v.Text)
}

// redactDatabase hides the password of a database address, as a URL or as key=value pairs. What is neither is not
// shown at all.
func redactDatabase(text string) string {
	if text != "" && !looksLikeURL.MatchString(text) && !looksLikePairs.MatchString(text) {
		return "(not shown)"
	}
	if u, err := url.Parse(text); err == nil && u.User != nil {
		text = u.Redacted()
	}
	return redactText(text)
}

// redactText hides the passwords of database addresses in a text, such as an error.
func redactText(text string) string {
	return passwordPart.ReplaceAllString(passwordPair.ReplaceAllString(text, "${1}xxxxx"), "${1}:xxxxx@")
}
