package server

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"viridian/audit"
)

// TestVerify_Page says what the API says: intact, changed, and of noted hashes whether they are there.
func TestVerify_Page(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	w.lock("shop", "one")
	w.lock("shop", "two")
	b := w.signedIn(Viewer)
	if page := b.open("/audit?environment=shop").body; !strings.Contains(page, `href="/audit/verify?environment=shop"`) {
		t.Errorf("the audit log does not lead to its verification:\n%s", page)
	}
	b.open("/audit/verify")
	b.wants("<strong>Intact.</strong>", "2 chains", "of no environment", ">shop<")
	if a := b.get("/audit/verify?head=x"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Nothing was verified.") {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.open("/audit/verify?environment=shop&head=" + strings.Repeat("0", 64))
	b.wants("Not intact.", "1 noted hash is", "not found")
	w.sql(`SET session_replication_role = replica`)
	w.sql(`UPDATE event SET actor = 'token mallory' WHERE environment = 'shop' AND position = 2`)
	b.open("/audit/verify")
	b.wants("Not intact.", "1 chain was", "entry 2:")
	if strings.Contains(b.page.body, "<strong>Intact.") {
		t.Error("a changed log is called intact")
	}
	file := b.open("/audit/file")
	report, err := audit.VerifyFile(bytes.NewReader([]byte(file.body)), nil)
	if err != nil || report.Intact() || len(report.Chains) != 2 {
		t.Errorf("the file that is taken along: %v, %+v", err, report)
	}
}

// TestVerify_ShowsOnlyWhatTheTokenMaySee, as the API does.
func TestVerify_ShowsOnlyWhatTheTokenMaySee(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	w.environment("secret")
	b := w.newBrowser()
	b.signIn(w.token(Viewer, "shop"))
	b.open("/audit/verify")
	b.wants("<strong>Intact.</strong>", "1 chain:")
	if strings.Contains(b.page.body, "secret") || strings.Contains(b.open("/audit/file").body, "secret") {
		t.Error("a log is shown that the token may not see")
	}
	for _, path := range []string{"/audit/verify", "/audit/file"} {
		if a := b.get(path + "?environment=secret"); a.status != http.StatusForbidden {
			t.Errorf("%s of another environment: %d", path, a.status)
		}
	}
}
