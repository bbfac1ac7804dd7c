package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"viridian/migrations"
	"viridian/server/api"
	"viridian/store/pglocal"
	"viridian/store/storetest"
)

// smallWorld is a world whose database has a small disk of its own, with one generation live and another ready.
func smallWorld(t *testing.T) (w *world, disk *storetest.Disk, postgres *pglocal.Server) {
	if storetest.Pooled() {
		t.Skip("it has a server of its own")
	}
	disk = storetest.NewDisk(t, 200)
	postgres = storetest.ServerIn(t, disk.Dir)
	if err := postgres.CreateDatabase(t.Context(), "small"); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), postgres.URL("small")); err != nil {
		t.Fatal(err)
	}
	w = newWorldOn(t, postgres.URL("small"), true)
	w.environment("shop")
	w.promote("shop", w.ready("shop"))
	w.ready("shop")
	w.sql(`SELECT pg_switch_wal()`)
	w.ok("GET", "/v1/environments/shop/route", "")
	return w, disk, postgres
}

// The database has no room for another row: a promote is refused with the reason, nothing of it stays, and it goes on by
// itself when there is room again.
func TestDiskFull_Rows(t *testing.T) {
	t.Parallel()
	w, disk, _ := smallWorld(t)
	w.lock("shop", "so that the log has a file again")
	w.ok("DELETE", "/v1/environments/shop/lock", "")
	if err := disk.Fill(0); err != nil {
		t.Fatal(err)
	}
	refused := w.fillUp()
	if refused.status != 503 || refused.problem.Code != "unavailable" || !strings.Contains(refused.problem.Detail, "disk of the database is full") {
		t.Fatalf("%d %s", refused.status, refused.body)
	}
	before := w.routeOf("shop")
	promote := request{Method: "POST", Path: "/v1/environments/shop/generations/2/promote", Body: `{"reason": "` + noise(200) + `"}`,
		Token: w.admin(), Header: map[string]string{"Idempotency-Key": "release"}}
	a := w.send(promote)
	if a.status != 503 || !strings.Contains(a.problem.Detail, "disk of the database is full") || a.header.Get("Retry-After") == "" {
		t.Errorf("promote: %d %s", a.status, a.body)
	}
	if after := w.routeOf("shop"); after.Revision != before.Revision || *after.Live != 1 {
		t.Errorf("half of it was done: %+v", after)
	}
	if err := disk.Free(); err != nil {
		t.Fatal(err)
	}
	w.goesOn(promote, before.Revision, func() {})
}

// The database has no room for another piece of its log. It ends, or restarts over and over, as Postgres does then; and
// with it comes back what was committed.
func TestDiskFull_WriteAheadLog(t *testing.T) {
	t.Parallel()
	w, disk, postgres := smallWorld(t)
	w.sql(`SELECT pg_logical_emit_message(false, 'fill', repeat('x', (16777216 - 200000 - (pg_current_wal_insert_lsn() - '0/0') % 16777216)::integer))`)
	if err := disk.Fill(4 << 20); err != nil {
		t.Fatal(err)
	}
	before := w.routeOf("shop")
	refused := w.fillUp()
	if refused.status != 503 || refused.problem.Code != "unavailable" {
		t.Fatalf("%d %s", refused.status, refused.body)
	}
	t.Logf("refused with: %s", refused.problem.Detail)
	if err := disk.Free(); err != nil {
		t.Fatal(err)
	}
	promote := request{Method: "POST", Path: "/v1/environments/shop/generations/2/promote", Body: `{"reason": "release"}`,
		Token: w.admin(), Header: map[string]string{"Idempotency-Key": "release"}}
	w.goesOn(promote, before.Revision, func() {
		select {
		case <-postgres.Done(): // a supervisor starts it again
			if err := postgres.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		default:
		}
	})
}

// fillUp writes until something is refused.
func (w *world) fillUp() answer {
	w.t.Helper()
	for i := range 2000 {
		r := request{Method: "PUT", Path: "/v1/environments/shop/lock", Token: w.admin(), Body: `{"reason": "` + noise(480) + `"}`}
		if i%2 == 1 {
			r.Method, r.Body = "DELETE", ""
		}
		if a := w.send(r); a.status >= 300 {
			return a
		}
	}
	w.t.Fatal("the disk is never full")
	return answer{}
}

// noise is a text that does not get smaller.
func noise(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%x", time.Now().UnixNano()*int64(i+1))
	}
	return b.String()[:n]
}

func (w *world) routeOf(environment string) api.Route {
	w.t.Helper()
	var r api.Route
	w.decode(w.ok("GET", "/v1/environments/"+environment+"/route", ""), &r)
	return r
}

// goesOn wants the refused promote to go through, once, and everything recorded to be whole.
func (w *world) goesOn(promote request, before int64, supervise func()) {
	w.t.Helper()
	w.until(func() bool {
		supervise()
		return w.send(request{Method: "DELETE", Path: "/v1/environments/shop/lock", Token: w.admin()}).status < 300
	}, func() string { return "it does not go on: " + w.logs.String()[max(0, len(w.logs.String())-2000):] })
	w.awaitState("shop", 2, "ready")
	for range 2 {
		a, err := w.try(promote)
		if err != nil || a.status != 200 {
			w.t.Fatalf("promote: %v, %d %s", err, a.status, a.body)
		}
	}
	if r := w.routeOf("shop"); r.Revision != before+1 || *r.Live != 2 {
		w.t.Errorf("the route is %+v, it was at revision %d", r, before)
	}
	var report api.AuditReport
	w.decode(w.ok("GET", "/v1/audit/verify", ""), &report)
	if !report.Intact {
		w.t.Errorf("the audit log: %+v", report)
	}
	w.conn = nil // it may have gone with the database
	var n int64
	if err := w.connection().QueryRow(w.t.Context(), `SELECT count(*) FROM switch WHERE environment = 'shop'`).Scan(&n); err != nil || n != before+1 {
		w.t.Errorf("%d switches, %v", n, err)
	}
}
