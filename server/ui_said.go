package server

import (
	"net/http"

	"viridian/web"
)

// said are the sentences that a page repeats after something was done by a form, by the word in its address. Nothing
// of the address itself is shown.
var said = map[string]string{
	"locked":     "The environment is locked. Rollbacks go on working.",
	"unlocked":   "The environment is unlocked.",
	"released":   "Automation is released.",
	"validating": "The generation is being validated again.",
	"retiring":   "The generation is retiring: it is removed when every load balancer has let go of it.",
	"kept":       "The generation is kept longer.",
	"created":    "The environment was created.",
	"saved":      "The new version of the environment's settings is in force.",
	"unchanged":  "Nothing was changed: the settings are what they were.",
	"deleting":   "The environment is being deleted. It disappears when its last generation is retired.",
	"removed":    "The node was taken out.",
	"deleted":    "The token was deleted. Whoever was signed in with it is signed out.",
	"ended":      "The session was ended.",
}

// saidFlash is what a form said that led to this page.
func saidFlash(r *http.Request) []web.Flash {
	if text, ok := said[r.URL.Query().Get("said")]; ok {
		return []web.Flash{{Tone: web.Good, Text: text}}
	}
	return nil
}
