package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"viridian/migrations"
	"viridian/store/pglocal"
	"viridian/store/storetest"
)

const (
	promoteRounds = 12
	promotesEach  = 10 // of the product and of each floor, in turns
)

var promoteGoal = goal{bound: 2}

// latencies are what was measured of one kind of request.
type latencies struct {
	whole, applied         []time.Duration
	roundWhole, roundApply []float64 // medians by round, seconds
}

func (l *latencies) note(whole, applied time.Duration) {
	l.whole, l.applied = append(l.whole, whole), append(l.applied, applied)
}

// endRound takes the medians of the last n.
func (l *latencies) endRound(n int) {
	l.roundWhole = append(l.roundWhole, median(l.whole[len(l.whole)-n:]).Seconds())
	l.roundApply = append(l.roundApply, median(l.applied[len(l.applied)-n:]).Seconds())
}

func (l *latencies) row(title string, to *latencies) string {
	whole, applied := slices.Sorted(slices.Values(l.whole)), slices.Sorted(slices.Values(l.applied))
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", title, millis(percentile(whole, 50)), millis(percentile(whole, 99)),
		millis(percentile(applied, 50)), millis(percentile(applied, 99)), ratio(ratios(l.roundWhole, to.roundWhole)))
}

// TestBenchPromote compares a promote by the API of the real server, answered when it is applied, with the floor. Both
// are processes of their own on one Postgres that syncs each commit.
func TestBenchPromote(t *testing.T) {
	gate(t)
	rounds, each := promoteRounds, promotesEach
	if testing.Short() {
		rounds, each = 4, 5
	}
	server := durablePostgres(t)
	p := startProduct(t, server.URL("product"))
	file, err := os.Stat(filepath.Join(p.stateDir, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	floor := func(bare bool) *caller {
		return newCaller(t, start(t, "floor", "", task{Database: server.URL("floor"), Bare: bare, Dir: t.TempDir(), FileSize: int(file.Size())}).Address)
	}
	bareFloor, guardedFloor := floor(true), floor(false)

	var promotes, rollbacks, bares, guardeds latencies
	const path, body = "/promote", `{"reason": "bench"}`
	measures := []func(){
		func() { promotes.note(p.promote(t)) },
		func() { bares.note(bareFloor.timed(t, path, body)) },
		func() { guardeds.note(guardedFloor.timed(t, path, body)) },
	}
	all := []*latencies{&promotes, &rollbacks, &bares, &guardeds}
	for round := -1; round < rounds; round++ { // the first one warms up
		for i := range each {
			for k := range measures {
				measures[(i+k)%len(measures)]()
			}
			rollbacks.note(p.rollback(t))
			p.revalidate(t)
		}
		for _, l := range all {
			if l.endRound(each); round < 0 {
				*l = latencies{}
			}
		}
	}
	report(t, fmt.Sprintf("Promote by HTTP, Postgres with fsync, state file of %d bytes: %d rounds of %d", file.Size(), rounds, each),
		"\trequest p50\tp99\tcommit→applied p50\tp99\trequest to floor",
		promotes.row("promote", &guardeds),
		rollbacks.row("rollback", &guardeds),
		guardeds.row("floor: the same rows and a file, nothing else", &guardeds),
		bares.row("the same on tables without constraints", &guardeds),
		"",
		promoteGoal.row("promote to floor, request", ratios(promotes.roundWhole, guardeds.roundWhole)),
		promoteGoal.row("promote to floor without constraints", ratios(promotes.roundWhole, bares.roundWhole)),
		"promote to floor, commit→applied\t"+ratio(ratios(promotes.roundApply, guardeds.roundApply)))
}

// durablePostgres is a Postgres with fsync, with a migrated database for the product and one for the floor.
func durablePostgres(t *testing.T) *pglocal.Server {
	t.Helper()
	_, err := pglocal.Find()
	needs(t, err)
	server, err := pglocal.Start(t.Context(), pglocal.Options{DataDir: filepath.Join(storetest.Folder(t), "pg"), Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"product", "floor"} {
		if err := server.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := migrations.Up(t.Context(), server.URL(name)); err != nil {
			t.Fatal(err)
		}
	}
	return server
}
