package store_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/store"
)

func ask(id string) store.NewToken {
	return store.NewToken{Actor: alice, ID: id, Name: "ci", Role: "deployer", Environments: []string{"shop-*"}, Hash: bytes.Repeat([]byte{7}, 32)}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := ask("a")
	n.Lifetime = time.Hour
	made, replayed, err := w.CreateToken(t.Context(), n, keyed("k", "create"))
	w.must(err)
	stored := must(w.Token(t.Context(), "a"))
	if replayed || fmt.Sprint(made) != fmt.Sprint(stored) && made.ExpiresAt.Sub(*stored.ExpiresAt) != 0 ||
		stored.ExpiresAt.Sub(stored.CreatedAt) != time.Hour || stored.CreatedBy != "token:alice" || stored.Environments[0] != "shop-*" || !bytes.Equal(stored.Hash, n.Hash) {
		t.Fatalf("made %+v, stored %+v", made, stored)
	}
	other := ask("b")
	again, replayed, err := w.CreateToken(t.Context(), other, keyed("k", "create"))
	w.must(err)
	if !replayed || again.ID != "a" {
		t.Fatalf("replay: %+v", again)
	}
	_, _, err = w.CreateToken(t.Context(), ask("a"), nil)
	wantCode(t, err, rollout.Conflict)
	_, err = w.Token(t.Context(), "b")
	wantCode(t, err, rollout.NotFound)

	w.must(w.TouchToken(t.Context(), "a"))
	used := *must(w.Token(t.Context(), "a")).LastUsedAt
	w.must(w.TouchToken(t.Context(), "a"))
	if got := *must(w.Token(t.Context(), "a")).LastUsedAt; !got.Equal(used) {
		t.Error("its use is recorded twice in a minute")
	}

	if replayed, err := w.DeleteToken(t.Context(), "a", alice, keyed("k2", "delete")); replayed || err != nil {
		t.Fatal(replayed, err)
	}
	if replayed, err := w.DeleteToken(t.Context(), "a", alice, keyed("k2", "delete")); !replayed || err != nil {
		t.Fatal(replayed, err)
	}
	_, err = w.DeleteToken(t.Context(), "a", alice, nil)
	wantCode(t, err, rollout.NotFound)
	if must(w.Token(t.Context(), "a")).RevokedAt == nil {
		t.Error("not revoked")
	}
	if page := must(w.Tokens(t.Context(), store.Paging{})); len(page.Items) != 0 {
		t.Errorf("a revoked token is listed: %+v", page.Items)
	}
	verify(t, w, "")
	if events := must(w.Events(t.Context(), everything)); len(events) != 2 {
		t.Errorf("%d events", len(events))
	}
}

// Each item that is there throughout is on exactly one page, while others are added.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		name := fmt.Sprintf("env-%d", i)
		w.do(name, create(name, spec(t, webSpec)))
		_, _, err := w.CreateToken(t.Context(), ask(fmt.Sprint("t", i)), nil)
		w.must(err)
		w.do("env-0", register("10.0.0.1", 100+i))
	}
	stop := make(chan struct{})
	var adding sync.WaitGroup
	adding.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _, _ = w.CreateToken(t.Context(), ask(fmt.Sprint("new", i)), nil)
				_, _ = w.Generation(t.Context(), "env-0", 1)
			}
		}
	})
	for round := range 5 {
		p := store.Paging{Limit: 1 + round}
		walk(t, "environments", 10, func(cursor string) ([]string, string) {
			page := must(w.Environments(t.Context(), []string{"env-*"}, store.Paging{Limit: p.Limit, Cursor: cursor}))
			return names(page.Items, func(e rollout.Environment) string { return e.Name }), page.Next
		})
		walk(t, "generations", 10, func(cursor string) ([]string, string) {
			page := must(w.Generations(t.Context(), "env-0", store.GenerationFilter{}, store.Paging{Limit: p.Limit, Cursor: cursor}))
			return names(page.Items, func(g rollout.Generation) string { return fmt.Sprint(g.Number, len(g.Groups)) }), page.Next
		})
		walk(t, "tokens", 10, func(cursor string) ([]string, string) {
			page := must(w.Tokens(t.Context(), store.Paging{Limit: p.Limit, Cursor: cursor}))
			var old []string
			for _, token := range page.Items {
				if token.ID[:1] == "t" {
					old = append(old, token.ID)
				}
			}
			return old, page.Next
		})
	}
	close(stop)
	adding.Wait()
	_, err := w.Tokens(t.Context(), store.Paging{Cursor: must(w.Generations(t.Context(), "env-0", store.GenerationFilter{}, store.Paging{Limit: 1})).Next})
	wantCode(t, err, rollout.InvalidRequest)
	for _, bad := range []string{"x", "###", "dG9rZW5zOg", "dG9rZW5zOngueA"} {
		_, err := w.Tokens(t.Context(), store.Paging{Cursor: bad})
		if bad == "dG9rZW5zOg" {
			w.must(err) // "tokens:" is the first page
			continue
		}
		wantCode(t, err, rollout.InvalidRequest)
	}
}

func names[T any](items []T, name func(T) string) (out []string) {
	for _, item := range items {
		out = append(out, name(item))
	}
	return out
}

func walk(t *testing.T, list string, want int, page func(cursor string) (items []string, next string)) {
	t.Helper()
	seen := map[string]bool{}
	for cursor := ""; ; {
		items, next := page(cursor)
		for _, item := range items {
			if seen[item] {
				t.Errorf("%s: %s is on two pages", list, item)
			}
			seen[item] = true
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(seen) != want {
		t.Errorf("%s: %d of %d items seen", list, len(seen), want)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("shop", promote(2))
	if page := must(w.Environments(t.Context(), []string{"sh*"}, store.Paging{})); len(page.Items) != 1 || page.Items[0].Promotion == nil || page.Items[0].Live != 2 {
		t.Errorf("environments: %+v", page)
	}
	if page := must(w.Environments(t.Context(), []string{"other"}, store.Paging{})); len(page.Items) != 0 {
		t.Errorf("environments of others: %+v", page)
	}
	if page := must(w.SpecVersions(t.Context(), "shop", store.Paging{})); len(page.Items) != 1 || page.Items[0].CreatedBy != "token:alice" || page.Items[0].Version != 1 {
		t.Errorf("spec versions: %+v", page)
	}
	standby := must(w.Generations(t.Context(), "shop", store.GenerationFilter{States: []rollout.GenerationState{rollout.Standby}}, store.Paging{}))
	if len(standby.Items) != 1 || standby.Items[0].Number != 1 || len(standby.Items[0].Groups[0].Instances) != 2 {
		t.Errorf("standby generations: %+v", standby)
	}
	if page := must(w.Switches(t.Context(), "shop", store.Paging{})); len(page.Items) != 2 || page.Items[0].Revision != 2 || page.Items[1].Status != rollout.Applied {
		t.Errorf("switches: %+v", page)
	}
	if page := must(w.Promotions(t.Context(), "shop", store.Paging{})); len(page.Items) != 2 || page.Items[0].ID != 2 || page.Items[1].State != rollout.PromotionSucceeded {
		t.Errorf("promotions: %+v", page)
	}
	if s := must(w.Switch(t.Context(), "shop", 1)); s.To != 1 || s.Weights[1] != 100 || s.AppliedAt == nil {
		t.Errorf("switch 1: %+v", s)
	}
	if p := must(w.Promotion(t.Context(), "shop", 2)); p.Generation != 2 || p.From != 1 {
		t.Errorf("promotion 2: %+v", p)
	}
	for name, ask := range map[string]func() error{
		"generation":  func() error { _, err := w.Generation(t.Context(), "shop", 9); return err },
		"switch":      func() error { _, err := w.Switch(t.Context(), "shop", 9); return err },
		"promotion":   func() error { _, err := w.Promotion(t.Context(), "shop", 9); return err },
		"environment": func() error { _, _, err := w.Environment(t.Context(), "nope"); return err },
		"its generations": func() error {
			_, err := w.Generations(t.Context(), "nope", store.GenerationFilter{}, store.Paging{})
			return err
		},
		"its switches":     func() error { _, err := w.Switches(t.Context(), "nope", store.Paging{}); return err },
		"its promotions":   func() error { _, err := w.Promotions(t.Context(), "nope", store.Paging{}); return err },
		"its specs":        func() error { _, err := w.SpecVersions(t.Context(), "nope", store.Paging{}); return err },
		"recording for it": func() error { _, err := w.Record(t.Context(), "nope", 0, rollout.Facts{}); return err },
	} {
		t.Log(name)
		wantCode(t, ask(), rollout.NotFound)
	}
}

// Whoever deletes the last token that may make another would lock everybody out.
func TestDeleteToken_KeepsTheLastAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := func(id string, environments ...string) {
		t.Helper()
		n := ask(id)
		n.Role, n.Environments = "admin", environments
		_, _, err := w.CreateToken(t.Context(), n, nil)
		w.must(err)
	}
	admin("one", "*")
	admin("narrow", "shop-*")
	_, err := w.DeleteToken(t.Context(), "one", alice, nil)
	wantCode(t, err, rollout.Conflict)
	admin("two", "*")
	for _, id := range []string{"one", "narrow"} {
		_, err = w.DeleteToken(t.Context(), id, alice, nil)
		w.must(err)
	}
	_, err = w.DeleteToken(t.Context(), "two", alice, nil)
	wantCode(t, err, rollout.Conflict)
}
