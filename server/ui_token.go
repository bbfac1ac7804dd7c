package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/server/api"
	"viridian/store"
	"viridian/web"
)

// showTokens lists the tokens.
func (s *server) showTokens(w http.ResponseWriter, r *http.Request) error {
	c := callOf(r.Context())
	page, err := s.Store.Tokens(r.Context(), store.Paging{Limit: store.MaxLimit, Cursor: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	view := web.TokensView{Next: page.Next}
	for _, t := range page.Items {
		action := web.Action{Label: "Delete", Href: "/tokens/" + t.ID + "/delete", Enabled: true, Danger: true}
		if !within(t.Environments, c.caller.Environments) {
			action.Enabled, action.Why = false, "it is for environments that yours is not for"
		}
		view.Tokens = append(view.Tokens, web.Token{ID: t.ID, Name: t.Name, Role: t.Role, Environments: t.Environments, CreatedAt: t.CreatedAt,
			CreatedBy: t.CreatedBy, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt, This: t.ID == c.caller.TokenID, Delete: action})
	}
	return writePage(w, r, http.StatusOK, web.Tokens(s.page(r, "Tokens", "tokens"), view))
}

func (s *server) newTokenDeed() deed {
	return deed{path: "/tokens/new", action: "token.create", nav: "tokens", ask: s.askNewToken, do: s.doNewToken}
}

// roleHints say what each role is for.
var roleHints = map[Role]string{
	Viewer:   "sees everything, presses nothing",
	Deployer: "CI: registers, validates, promotes and rolls back",
	Operator: "besides: environments, locks, weights, retention, force",
	Admin:    "besides: tokens, nodes, deleting environments",
}

// lifetimes are the answers to how long a token is valid, as the API takes them.
var lifetimes = []web.Choice{{Value: "720h", Label: "30 days"}, {Value: "2160h", Label: "90 days"}, {Value: "8760h", Label: "1 year"},
	{Value: "never", Label: "until it is deleted"}}

func (s *server) askNewToken(r *http.Request, typed url.Values) (web.Ask, error) {
	a := newAsk(r, "New token", "/tokens")
	a.Submit = "Make the token"
	a.Lead = "The token is shown once, here, and never kept: only what it may do is recorded."
	role, lifetime := typed.Get("role"), typed.Get("expires_in")
	if role == "" {
		role = string(Deployer)
	}
	if lifetime == "" {
		lifetime = lifetimes[1].Value
	}
	var roles []web.Choice
	for _, known := range Roles() {
		roles = append(roles, web.Choice{Value: string(known), Label: string(known), Hint: roleHints[known], Chosen: string(known) == role})
	}
	times := slices.Clone(lifetimes)
	for i := range times {
		times[i].Chosen = times[i].Value == lifetime
	}
	environments := typed.Get("environments")
	if environments == "" && typed == nil {
		environments = strings.Join(callOf(r.Context()).caller.Environments, " ")
	}
	a.Fields = []web.Field{
		{Name: "name", Label: "Name", Value: typed.Get("name"), Hint: "What it is for; stands in the history: ci, dashboard, anna.", Required: true, Mono: true, Autofocus: true},
		{Name: "environments", Label: "Environments", Value: environments, Hint: "Names parted by spaces; * stands for any characters, as in shop-*.", Required: true, Mono: true},
	}
	a.ChoicesLast = true
	a.Choices = []web.Choices{{Name: "role", Legend: "Role", List: roles}, {Name: "expires_in", Legend: "Valid for", List: times}}
	return a, nil
}

func (s *server) doNewToken(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environments := strings.FieldsFunc(r.PostForm.Get("environments"), func(c rune) bool { return strings.ContainsRune(" ,;\r\n\t", c) })
	body := map[string]any{"name": formText(r, "name"), "role": formText(r, "role"), "environments": orEmpty(environments)}
	request := api.TokenRequest{Name: formText(r, "name"), Role: api.Role(formText(r, "role")), Environments: environments}
	if lifetime := r.PostForm.Get("expires_in"); lifetime != "never" && lifetime != "" {
		body["expires_in"], request.ExpiresIn = lifetime, &lifetime
	}
	if err := s.checkAsAPI("CreateToken", body); err != nil {
		return done{}, fieldOf(err, "/environments")
	}
	callOf(r.Context()).key = key
	out, err := handlers{s}.CreateToken(r.Context(), api.CreateTokenRequestObject{Body: &request})
	if err != nil {
		return done{}, err
	}
	made, ok := out.(api.CreateToken201JSONResponse)
	if !ok {
		return done{}, fmt.Errorf("a token was answered with %T", out)
	}
	d := done{title: "Token " + made.Name, back: "/tokens", secret: shownBefore}
	if made.Token != nil {
		d.secret = *made.Token
	}
	return d, nil
}

// fieldOf puts what is wrong within a list at the one field that the list is typed into.
func fieldOf(err error, field string) error {
	var refusal *rollout.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	out := *refusal
	out.Errors = slices.Clone(refusal.Errors)
	for i, e := range out.Errors {
		if strings.HasPrefix(e.Pointer, field+"/") {
			out.Errors[i].Pointer = field
		}
	}
	return &out
}

func (s *server) deleteTokenDeed() deed {
	return deed{path: "/tokens/{token}/delete", action: "token.delete", nav: "tokens", ask: s.askDeleteToken, do: s.doDeleteToken}
}

func (s *server) askDeleteToken(r *http.Request, _ url.Values) (web.Ask, error) {
	c := callOf(r.Context())
	t, err := s.Store.Token(r.Context(), pathValue(r, "token"))
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Delete token "+t.Name, "/tokens")
	a.Look, a.Submit = web.Danger, "Delete it"
	a.Lead = "Whoever uses it is refused from now on, and browsers that are signed in with it are signed out."
	sessions, err := s.Store.Sessions(r.Context(), t.ID, s.SessionIdle, store.Paging{})
	if err != nil {
		return web.Ask{}, err
	}
	a.Facts = []web.Fact{{Name: "Id", Value: t.ID}, {Name: "Role", Value: t.Role}, {Name: "Environments", Value: strings.Join(t.Environments, " ")},
		{Name: "Made by", Value: t.CreatedBy}, {Name: "Last used", Value: "never"}, {Name: "Signed in", Value: countWords(len(sessions.Items), "browser")}}
	if t.LastUsedAt != nil {
		a.Facts[4].Value = exact(*t.LastUsedAt)
	}
	switch {
	case t.RevokedAt != nil:
		a.Refused = "it was deleted already"
	case !within(t.Environments, c.caller.Environments):
		a.Refused = "it is for environments that yours is not for"
	case t.ID == c.caller.TokenID:
		a.Warn = "This is the token that you are signed in with: you will be signed out."
	}
	return a, nil
}

func countWords(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (s *server) doDeleteToken(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	callOf(r.Context()).key = key
	_, err := handlers{s}.DeleteToken(r.Context(), api.DeleteTokenRequestObject{Id: pathValue(r, "token")})
	return done{title: "The token was deleted", text: "It is refused everywhere within seconds; browsers are signed out at once.", back: "/tokens", said: "deleted"}, err
}
