package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// fence is the printed frontend that compares and sets one map entry. It is bound to one thread, so that its requests
// follow one another; it also refuses a lower revision, whoever asks.
type fence struct {
	address
	timeout time.Duration
}

// The words of the fence's protocol. absent stands for an entry that is not there.
const (
	headerKey    = "X-Viridian-Key"
	headerExpect = "X-Viridian-Expect"
	headerValue  = "X-Viridian-Value"
	absent       = "none"
)

// errOvertaken says that somebody else changed the entry first, and nothing was written.
var errOvertaken = errors.New("the map entry was changed meanwhile")

// swap sets the entry of key to value, or deletes it when value is [absent], if it now is expect.
func (f fence) swap(ctx context.Context, pid, key, expect, value string) error {
	for _, word := range []string{key, expect, value} {
		if !isSafe(word) {
			return fmt.Errorf("%.80q is refused as part of a map", word)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	answer, err := f.exchange(ctx, fmt.Sprintf("GET / HTTP/1.1\r\nHost: viridian-fence\r\nConnection: close\r\n%s: %s\r\n%s: %s\r\n%s: %s\r\n\r\n",
		headerKey, key, headerExpect, expect, headerValue, value))
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		return fmt.Errorf("fence: this is not the printed frontend viridian-fence: %w", err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // of a text in memory
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	process, holds, _ := strings.Cut(string(body), " ")
	switch {
	case process != pid:
		return fmt.Errorf("fence: process %.20q answered, not %s: it is another HAProxy's, or %w", process, pid, errChanged)
	case res.StatusCode == http.StatusOK && holds == value:
		return nil
	case res.StatusCode == http.StatusConflict:
		return fmt.Errorf("fence: %w: it is %.200q", errOvertaken, holds)
	}
	return fmt.Errorf("fence: HAProxy answered with status %d and %.80q", res.StatusCode, body)
}

// swap makes the entry of key value, or deletes it when value is [absent], if it is still as v shows it.
func (n *Node) swap(ctx context.Context, v view, key, value string) error {
	held, there := v.entries[key]
	if !there {
		held = absent
	}
	edited := false
	if there && strings.HasPrefix(key, envKey) {
		_, err := parseEntry(held)
		edited = err != nil
	}
	if n.fence != nil && isSafe(held) && !edited && held != absent == there {
		return n.fence.swap(ctx, v.pid(), key, held, value)
	}
	return n.swapByHand(ctx, v, key, value)
}

// swapByHand reads, compares, writes and reads back: without a fence, or to replace what only a hand can have written,
// which no request to the fence could name.
func (n *Node) swapByHand(ctx context.Context, v view, key, value string) error {
	now, err := n.lookAt(ctx, v.layout, "")
	if err != nil {
		return err
	}
	held, there := now.entries[key]
	before, was := v.entries[key]
	if held != before || there != was {
		return errOvertaken
	}
	switch {
	case value == absent && there:
		err = n.runtime.do(ctx, "del", "map", v.mapFile, key)
	case value == absent:
	case there:
		err = n.runtime.do(ctx, "set", "map", v.mapFile, key, value)
	default:
		err = n.runtime.do(ctx, "add", "map", v.mapFile, key, value)
	}
	if err != nil {
		return err
	}
	if now, err = n.lookAt(ctx, v.layout, ""); err != nil {
		return err
	}
	if held, there := now.entries[key]; there != (value != absent) || (there && held != value) {
		return errOvertaken
	}
	return nil
}

// pid is the process of the view.
func (v view) pid() string {
	pid, _, _ := strings.Cut(v.incarnation, "-")
	return pid
}
