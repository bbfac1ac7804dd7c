package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxText bounds what is read of an answer that is of interest.
const maxText = 4 << 10

// Read asks one instance by GET for the text at a path, as long as ctx lasts. Any status but 200 is an error, and so is
// a text of more than 4 KiB. White space around it is cut off. The error is a short reason for people.
func Read(ctx context.Context, address string, port int, path string) (string, error) {
	at, err := url.ParseRequestURI(path)
	if err != nil {
		return "", reason(err)
	}
	at.Scheme, at.Host, at.User = "http", net.JoinHostPort(address, strconv.Itoa(port)), nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return "", reason(err)
	}
	req.Header.Set("User-Agent", "viridian-probe")
	res, err := client.Do(req)
	if err != nil {
		return "", reason(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answered with status %d", res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxText+1))
	switch {
	case err != nil:
		return "", reason(err)
	case len(text) > maxText:
		return "", fmt.Errorf("answered with more than %d bytes", maxText)
	}
	return strings.TrimSpace(string(text)), nil
}
