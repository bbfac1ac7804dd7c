package web

import (
	"net/url"
	"slices"
	"strconv"
)

// Audit is the page of the audit log.
type Audit struct {
	Filter AuditFilter
	Events []Event
	Older  string // query of the page behind this one; empty on the last
	Wrong  string // what is wrong with the filter
	Verify Action
}

// AuditFilter is what somebody looks for, as they typed it.
type AuditFilter struct {
	Environment, Kind, Actor, Generation, Since, Until string
}

// Query is the filter as a query string.
func (f AuditFilter) Query() url.Values {
	out := url.Values{}
	for name, value := range map[string]string{"environment": f.Environment, "kind": f.Kind, "actor": f.Actor,
		"generation": f.Generation, "since": f.Since, "until": f.Until} {
		if value != "" {
			out.Set(name, value)
		}
	}
	return out
}

func (f AuditFilter) narrow() bool { return len(f.Query()) > 0 }

// export is the address of the filtered log as a file.
func (f AuditFilter) export(form string) string {
	query := f.Query()
	query.Set("form", form)
	return "/audit/export?" + query.Encode()
}

// hasFacts says whether there is anything to show in the column of details.
func hasFacts(list []Event) bool {
	return slices.ContainsFunc(list, func(e Event) bool { return len(e.Facts) > 0 })
}

// about is the page of what an event is about; empty for none.
func (e Event) about() string {
	switch {
	case e.Environment == "":
		return ""
	case e.Generation != 0:
		return "/environments/" + e.Environment + "/generations/" + itoa(e.Generation)
	case e.Revision != 0:
		return "/environments/" + e.Environment + "/switches/" + strconv.FormatInt(e.Revision, 10)
	}
	return "/environments/" + e.Environment
}

// shortHash is as much of an event's hash as tells two apart at a glance.
func (e Event) shortHash() string {
	if len(e.Hash) > 12 {
		return e.Hash[:12]
	}
	return e.Hash
}
