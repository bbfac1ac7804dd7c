package rollout

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// mostPlain bounds a text from outside, in bytes.
const mostPlain = 4000

// Plain is a text that others wrote, such as the output of a check, as it can be kept and shown: valid UTF-8 of a bounded
// length, without characters that steer a terminal or turn the direction of writing. Of a text that is plain nothing changes.
func Plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return utf8.RuneError
		}
		return r // of what is no UTF-8 that is RuneError
	}, text)
	const dots = "…"
	if len(text) <= mostPlain {
		return text
	}
	cut := mostPlain - len(dots)
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + dots
}
