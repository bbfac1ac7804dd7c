package cli

import (
	"net/url"
	"regexp"
)

var passwordPair = regexp.MustCompile(`(?i)(password\s*=\s*)('[^']*'|[^&\s]+)`)

// redacted is the value as it may be shown: without the passwords in it.
func (v settingValue) redacted() string {
	if !v.secret {
		return v.Text
	}
	return redactDatabase(v.Text)
}

// redactDatabase hides the password of a database address, as a URL or as key=value pairs. What cannot be read is not
// shown at all.
func redactDatabase(text string) string {
	text = passwordPair.ReplaceAllString(text, "${1}xxxxx")
	if !regexp.MustCompile(`^[A-Za-z]+://`).MatchString(text) {
		if text == "" || regexp.MustCompile(`^\s*\w+\s*=`).MatchString(text) {
			return text
		}
		return "(not shown)"
	}
	u, err := url.Parse(text)
	if err != nil {
		return "(not shown)"
	}
	return u.Redacted()
}
