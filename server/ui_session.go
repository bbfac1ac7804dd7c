package server

import (
	"net/http"

	"viridian/rollout"
	"viridian/store"
	"viridian/web"
)

// showSessions lists who is signed in: the caller's own sessions, and to an admin those of every token that the admin
// could delete.
func (s *server) showSessions(w http.ResponseWriter, r *http.Request) error {
	c := callOf(r.Context())
	token := c.caller.TokenID
	if Can(c.caller, "token.delete", "") {
		token = ""
	}
	page, err := s.Store.Sessions(r.Context(), token, s.SessionIdle, store.Paging{Limit: store.MaxLimit, Cursor: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	view := web.SessionsView{CSRF: c.session.csrf(), Next: page.Next, Idle: s.SessionIdle, Everybody: token == ""}
	for _, one := range page.Items {
		if !mayEnd(c.caller, one) {
			continue
		}
		view.Sessions = append(view.Sessions, web.Session{ID: one.ID, Token: one.TokenName, Role: one.Role, Address: one.Address, UserAgent: one.UserAgent,
			Since: one.CreatedAt, Seen: one.SeenAt, Expires: one.ExpiresAt, This: one.ID == c.session.id})
	}
	return writePage(w, r, http.StatusOK, web.Sessions(s.page(r, "Sessions", ""), view))
}

// mayEnd says whether the caller may see and end the session: it is of their own token, or of one that they could delete.
func mayEnd(caller Caller, one store.Session) bool {
	return one.TokenID == caller.TokenID || Can(caller, "token.delete", "") && within(one.Environments, caller.Environments)
}

// endSession ends one. What somebody may not end does not exist for them.
func (s *server) endSession(w http.ResponseWriter, r *http.Request) error {
	c := callOf(r.Context())
	one, err := s.Store.Session(r.Context(), pathValue(r, "session"))
	if err != nil {
		return err
	}
	if !mayEnd(c.caller, one) {
		return rollout.Refuse(rollout.NotFound, "there is no such session; it may have ended already", "look at the list of sessions")
	}
	if err := s.Store.EndSession(r.Context(), one.ID, c.caller.Actor()); err != nil {
		return err
	}
	target := "/sessions?said=ended"
	if one.ID == c.session.id {
		setSessionCookie(w, "", 0)
		target = "/login"
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
	return nil
}
