package server

import (
	"net/http"

	"viridian/rollout"
	"viridian/store"
	"viridian/web"
)

// showVersions lists the versions of an environment's settings, each with what it changed.
func (s *server) showVersions(w http.ResponseWriter, r *http.Request) error {
	e, _, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return err
	}
	page, err := s.Store.SpecVersions(r.Context(), e.Name, store.Paging{Limit: 20, Cursor: r.URL.Query().Get("cursor")})
	if err != nil {
		return err
	}
	view := web.VersionsView{Environment: e.Name, Next: page.Next, MayEdit: Can(callOf(r.Context()).caller, "environment.put", e.Name)}
	for i, v := range page.Items {
		one := web.SpecVersion{Environment: e.Name, Version: v.Version, By: v.CreatedBy, At: v.CreatedAt, Current: v.Version == e.SpecVersion}
		before, known := rollout.Spec{}, i+1 < len(page.Items)
		switch {
		case known:
			before = page.Items[i+1].Spec
		case v.Version > 1:
			older, err := s.specVersion(r, e.Name, v.Version-1)
			if err != nil && !isRefusal(err, rollout.NotFound) {
				return err
			}
			before, known = older.Spec, err == nil
		}
		one.First = !known
		if known {
			if one.Changes, err = specChanges(before, v.Spec); err != nil {
				return err
			}
		}
		view.List = append(view.List, one)
	}
	return writePage(w, r, http.StatusOK, web.VersionsPage(s.page(r, "Versions of "+e.Name, "environments"), view))
}
