package web_test

import (
	"strings"
	"testing"

	"viridian/web"
)

// TestTables_LeaveEmptyColumnsOut: of instances that say nothing more of themselves, and of events that are told in full.
func TestTables_LeaveEmptyColumnsOut(t *testing.T) {
	t.Parallel()
	const meta, details = `<th scope="col">meta</th>`, `<th scope="col">details</th>`
	d := generation()
	more := web.GroupView{Service: "api", Instances: []web.InstanceView{{ID: "api-1", Address: "10.0.0.1:81"}, {ID: "api-2", Address: "10.0.0.2:81"}}}
	if text := draw(t, web.InstanceList(d)); strings.Count(text, meta) != 1 || !strings.Contains(text, "zone: a") {
		t.Errorf("what is known is not shown: %s", text)
	}
	d.Groups = append(d.Groups, more)
	if text := draw(t, web.InstanceList(d)); strings.Count(text, meta) != 1 || strings.Count(text, "<td") != 4 {
		t.Errorf("each service has its own columns: %s", text)
	}
	d.Groups = []web.GroupView{more}
	if text := draw(t, web.InstanceList(d)); strings.Contains(text, meta) || strings.Count(text, "<td") != 2 {
		t.Errorf("a column is empty: %s", text)
	}

	a := audit()
	if text := draw(t, web.AuditPage(page("Audit", "audit"), a)); !strings.Contains(text, details) || !strings.Contains(text, `<td class="audit-facts"></td>`) {
		t.Errorf("where some have details, those of others are empty: %s", text)
	}
	for i := range a.Events {
		a.Events[i].Facts = nil
	}
	if text := draw(t, web.AuditPage(page("Audit", "audit"), a)); strings.Contains(text, details) || strings.Contains(text, "audit-facts") {
		t.Errorf("a column is empty: %s", text)
	}
}
