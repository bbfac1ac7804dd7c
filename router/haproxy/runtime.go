package haproxy

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// runtime is HAProxy's runtime socket.
type runtime struct {
	address
	timeout time.Duration // of one exchange
}

// show asks for several things at once and returns an answer for each.
func (r runtime) show(ctx context.Context, commands ...command) ([]string, error) {
	grouped, err := lines(commands)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, group := range grouped {
		answer, err := r.send(ctx, strings.Join(group, ";"))
		if err != nil {
			return nil, err
		}
		parts, err := sections(answer, len(group))
		if err != nil {
			return nil, err
		}
		out = append(out, parts...)
	}
	return out, nil
}

// do carries out one command that changes something. HAProxy says nothing when it worked; whatever it says is an error.
func (r runtime) do(ctx context.Context, words ...string) error {
	text, err := command(words).encode()
	if err != nil {
		return err
	}
	answer, err := r.send(ctx, text)
	if err != nil {
		return fmt.Errorf("%.120s: %w", text, err)
	}
	if said := strings.TrimSpace(answer); said != "" && (words[0] != "set" || !moved.MatchString(said)) {
		return fmt.Errorf("%.120s: HAProxy says %.120q", text, said)
	}
	return nil
}

// moved is what "set server … addr … port …" says when it worked.
var moved = regexp.MustCompile(`^(no need to change the addr|IP changed from '\S+' to '\S+')` +
	`, (no need to change the port|port changed from '\S+' to '\S+') by 'stats socket command'$`)

func (r runtime) send(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.exchange(ctx, line+"\n")
}
