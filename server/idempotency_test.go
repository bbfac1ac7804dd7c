package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func keyed(r request, key string) request {
	r.Header = map[string]string{"Idempotency-Key": key}
	return r
}

func (w *world) sendAs(r request, token string) answer {
	w.t.Helper()
	r.Token = token
	return w.send(r)
}

// same holds a replay against the first answer: the same bytes, and said to be a replay.
func (w *world) same(name string, first, again answer) {
	w.t.Helper()
	if first.status >= 300 || first.header.Get("Idempotent-Replayed") != "" {
		w.t.Errorf("%s: %d %s", name, first.status, first.body)
	}
	if again.status != first.status || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
		w.t.Errorf("%s: the replay differs: %d %q\n%s\n%s", name, again.status, again.header.Get("Idempotent-Replayed"), first.body, again.body)
	}
	for _, header := range []string{"ETag", "Location", "Content-Type"} {
		if first.header.Get(header) != again.header.Get(header) {
			w.t.Errorf("%s: %s is %q and then %q", name, header, first.header.Get(header), again.header.Get(header))
		}
	}
}

// TestIdempotency_SameKeySameAnswer repeats every command, after something else has changed in between.
func TestIdempotency_SameKeySameAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	twice := func(name string, r request) answer {
		first := w.sendAs(keyed(r, name), w.admin())
		w.ok("PUT", "/v1/environments/other/lock", `{"reason": "`+name+`"}`)
		w.same(name, first, w.sendAs(keyed(r, name), w.admin()))
		return first
	}
	w.environment("other")
	twice("create", post("/v1/environments", `{"name": "shop", `+spec[1:]))
	twice("put", put(shop, strings.Replace(spec, "1h", "2h", 1)))
	twice("put-new", put("/v1/environments/new", spec))
	twice("register", post(generations, instance(`"a"`, `"10.1.1.1"`, `80`)))
	for n := 2; n <= 3; n++ {
		w.awaitState("shop", w.register("shop"), "ready")
		twice(fmt.Sprintf("promote-%d", n), post(fmt.Sprintf("%s/%d/promote", generations, n), `{}`))
	}
	twice("retain", put(shop+"/retention", `{"generation": 2, "keep_until": "2099-01-01T00:00:00+02:00"}`))
	twice("weights", put(shop+"/weights", `{"weights": {"3": 90, "2": 10}}`))
	twice("rollback", post(shop+"/rollback", `{"from": 3}`))
	twice("validate", post(generations+"/3/validate", ""))
	twice("lock", put(shop+"/lock", `{"reason": "x"}`))
	twice("unlock", del(shop+"/lock"))
	twice("release", del(shop+"/automation-hold"))
	twice("retire", post(generations+"/1/retire", `{}`))
	silent := w.node
	silent.Name = "edge-9"
	if err := w.store.Heartbeat(t.Context(), silent, 0); err != nil {
		t.Fatal(err)
	}
	w.sql(`UPDATE node SET seen_at = seen_at - interval '1 minute' WHERE name = 'edge-9'`)
	twice("node", del("/v1/routers/builtin/nodes/edge-9"))
	twice("delete", del(shop+"?force=true"))
}

func TestIdempotency_TokenIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	r := keyed(post("/v1/tokens", `{"name": "t", "role": "viewer", "environments": ["*"]}`), "k")
	first, again := w.sendAs(r, w.admin()), w.sendAs(r, w.admin())
	var made, replayed struct{ ID, Token string }
	w.decode(first, &made)
	w.decode(again, &replayed)
	w.secrets = append(w.secrets, made.Token)
	if made.Token == "" || replayed.Token != "" || replayed.ID != made.ID || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a token and its replay:\n%s\n%s", first.body, again.body)
	}
	var kept int
	err := w.connection().QueryRow(t.Context(), `SELECT count(*) FROM idempotency WHERE response IS NOT NULL OR answer::text LIKE '%vir_%'`).Scan(&kept)
	if err != nil || kept != 0 {
		t.Errorf("%d records keep the answer with the secret (%v)", kept, err)
	}
	gone := keyed(del("/v1/tokens/"+made.ID), "d")
	w.same("delete a token", w.sendAs(gone, w.admin()), w.sendAs(gone, w.admin()))
}

func TestIdempotency_KeyBelongsToItsRequestAndCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	lock := func(reason, key string) request { return keyed(put(shop+"/lock", `{"reason": "`+reason+`"}`), key) }
	w.sendAs(lock("one", "k"), w.admin())
	for name, r := range map[string]request{"another body": lock("two", "k"), "another path": keyed(del(shop+"/lock"), "k")} {
		if a := w.sendAs(r, w.admin()); a.status != 422 || a.problem.Code != "idempotency_key_reused" {
			t.Errorf("the key with %s: %d %s", name, a.status, a.body)
		}
	}
	if a := w.sendAs(lock("two", "k"), w.token(Operator, "*")); a.status != 200 || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("the key of another caller: %d %s", a.status, a.body)
	}
	refused := keyed(post(generations+"/9/retire", `{}`), "later")
	if a := w.sendAs(refused, w.admin()); a.status != 404 {
		t.Fatalf("retire of none: %d %s", a.status, a.body)
	}
	if a := w.sendAs(keyed(put(shop+"/lock", `{"reason": "x"}`), "later"), w.admin()); a.status != 200 {
		t.Errorf("a key whose command was refused is not used: %d %s", a.status, a.body)
	}
}

func TestIdempotency_ParallelCallsDoItOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.environment("shop")
	w.ready("shop")
	r := keyed(post(generations+"/1/promote", `{}`), "k")
	r.Token = w.admin()
	answers := make([]answer, 8)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			var err error
			if answers[i], err = w.try(r); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	fresh := 0
	for _, a := range answers {
		var s struct {
			Revision int64
			Changed  bool
		}
		w.decode(a, &s)
		if a.status != 200 || s.Revision != 1 || !s.Changed {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a.header.Get("Idempotent-Replayed") == "" {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d of the answers say that they did it, want 1", fresh)
	}
}

// TestIdempotency_UnfinishedAnswerIsMadeAnew: a switch that was not applied in time is waited for again by the replay.
func TestIdempotency_UnfinishedAnswerIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.environment("shop")
	w.ready("shop")
	w.stop()
	r := keyed(post(generations+"/1/promote?timeout=200ms", `{}`), "k")
	first := w.sendAs(r, w.admin())
	if first.status != 202 || !strings.Contains(first.body, `"committed"`) {
		t.Fatalf("without a loop: %d %s", first.status, first.body)
	}
	if again := w.sendAs(r, w.admin()); again.status != 202 || again.header.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("replay without a loop: %d %s", again.status, again.body)
	}
	w.start()
	w.until(func() bool { return w.sendAs(r, w.admin()).status == 200 }, func() string { return "the replay never finds the switch applied" })
	done := w.sendAs(r, w.admin())
	if !strings.Contains(done.body, `"applied"`) || !strings.Contains(done.body, `"changed":true`) {
		t.Errorf("the replay of a switch that was applied: %s", done.body)
	}
}
