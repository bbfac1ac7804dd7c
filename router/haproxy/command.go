package haproxy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// command is one command of the runtime socket, word by word.
type command []string

// safe is what a word may consist of. A space, ";" or a newline would begin another word or command, "\" escapes, "#"
// and "@" and "<<" have meanings of their own; none of them is ever needed.
var safe = regexp.MustCompile(`^[A-Za-z0-9._:/|,-]+$`)

// maxWord is the length of the longest word; HAProxy keeps a whole request in 16 KiB.
const maxWord = 4096

// entryID is how HAProxy names one entry of a map: "del map F #0x7f2ee80465b0".
var entryID = regexp.MustCompile(`^#0x[0-9a-f]{1,16}$`)

func isSafe(word string) bool { return len(word) <= maxWord && safe.MatchString(word) }

var plainHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// maxLine is how much of a line HAProxy is asked to take at once; its buffer has 16 KiB.
const maxLine = 8 << 10

// encode writes the command as HAProxy reads it, or refuses.
func (c command) encode() (string, error) {
	for _, word := range c {
		if !isSafe(word) && !entryID.MatchString(word) {
			return "", fmt.Errorf("%.80q is refused: it could be read as something else than one word of a command", word)
		}
	}
	return strings.Join(c, " "), nil
}

// lines puts commands together, as many on a line as fit. Each is answered by lines of text and an empty line.
func lines(commands []command) ([][]string, error) {
	var out [][]string
	length := maxLine
	for _, c := range commands {
		text, err := c.encode()
		if err != nil {
			return nil, err
		}
		if length+len(text) > maxLine {
			out, length = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], text)
		length += len(text) + 1
	}
	return out, nil
}

// sections parts the answer to several commands at the empty lines.
func sections(answer string, want int) ([]string, error) {
	var out []string
	var b strings.Builder
	for line := range strings.Lines(answer) {
		if line == "\n" {
			out = append(out, b.String())
			b.Reset()
			continue
		}
		b.WriteString(line)
	}
	if strings.HasPrefix(answer, "HTTP/") {
		return nil, errors.New("HTTP is spoken at socket: it must be the runtime socket; the fence is another one")
	}
	if len(out) != want || b.Len() > 0 {
		return nil, fmt.Errorf("HAProxy answered %d of %d commands, and %.80q", len(out), want, b.String())
	}
	return out, nil
}
