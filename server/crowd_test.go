package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/store"
	"viridian/store/storetest"
)

// However many read and stream, a promote goes through, and does not wait for one of them.
func TestPromote_ThroughACrowd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.environment("shop")
	n := w.ready("shop")
	const streams, readers = 250, 250
	for range streams {
		w.stream(w.admin(), "", nil)
	}
	// No spec version can be read, and whoever tries keeps a connection.
	holder, err := pgx.Connect(t.Context(), storetest.Direct(w.database))
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.WithoutCancel(t.Context()))
	if _, err := holder.Exec(t.Context(), `BEGIN; LOCK TABLE spec_version IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, readers)
	for range readers {
		go func() {
			a, err := w.try(request{Method: "GET", Path: "/v1/environments/shop/spec-versions", Token: w.admin()})
			if err != nil {
				a.status = -1
			}
			answered <- a.status
		}()
	}
	blocked := func() (n int) {
		err := w.connection().QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%spec_version%' AND pid <> pg_backend_pid()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.until(func() bool { return blocked() == store.DefaultConnections.Reads }, func() string { return fmt.Sprint(blocked(), " readers wait") })
	w.promote("shop", n)
	w.ok("POST", "/v1/environments/shop/generations/1/plan", "{}")
	if a := w.send(request{Method: "GET", Path: "/readyz"}); a.status != 200 {
		t.Errorf("readyz: %d", a.status)
	}
	w.until(func() bool { return blocked() == store.DefaultConnections.Reads }, func() string { return "the crowd had gone: this shows nothing" })
	if _, err := holder.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	for range readers {
		select {
		case status := <-answered:
			if status != 200 && status != 409 && status != 503 {
				t.Errorf("a reader got %d", status)
			}
		case <-time.After(time.Minute):
			t.Fatal("a reader gets no answer")
		}
	}
}
