package server

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ourFields are those of every form, which are not what somebody typed.
var ourFields = []string{"csrf_token", "idempotency_key", "expected_revision"}

// draftOf is what was typed into a form that came too late for its session: the path of the form, and its fields.
func draftOf(r *http.Request) string {
	fields := url.Values{}
	for name, values := range r.PostForm {
		fields[name] = values
	}
	for _, name := range ourFields {
		fields.Del(name)
	}
	draft := r.URL.Path + "?draft=1\n" + fields.Encode()
	if len(draft) > maxDraft {
		return ""
	}
	return draft
}

// draft is what was typed into the form at this path before its session ended, when the page is asked for that.
func (s *server) draft(r *http.Request) url.Values {
	c := callOf(r.Context())
	if c.session == nil || r.URL.Query().Get("draft") == "" {
		return nil
	}
	path, text, found := strings.Cut(s.sessions.GetString(c.session.data, keptDraft), "\n")
	fields, err := url.ParseQuery(text)
	if !found || err != nil || path != r.URL.Path+"?draft=1" {
		return nil
	}
	return fields
}

// loopbackHost says whether a host is this machine, as its browser sees it.
func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || (ip != nil && ip.IsLoopback())
}
