package rollout

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"web-1: 503\n\tat 10.0.0.1":    "web-1: 503\n\tat 10.0.0.1",
		"größe 尺寸":                     "größe 尺寸",
		"a\x00b\x1b[31m\x7f\u0085":     "a�b�[31m��",
		"gnp\u202eexe":                 "gnp�exe",
		"cut \xe5\xb0":                 "cut ��",
		strings.Repeat("ä", mostPlain): strings.Repeat("ä", (mostPlain-4)/2) + "…",
	} {
		got := Plain(text)
		if got != want || !utf8.ValidString(got) || len(got) > mostPlain || Plain(got) != got {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
