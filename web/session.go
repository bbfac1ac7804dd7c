package web

import (
	"strings"
	"time"
)

// spanWords is a span of time as people say it.
func spanWords(d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return plural(int(d/(24*time.Hour)), "day", "days")
	case d >= time.Hour && d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour", "hours")
	case d >= time.Minute && d%time.Minute == 0:
		return plural(int(d/time.Minute), "minute", "minutes")
	}
	return d.String()
}

// agentWords is what of a browser's name a person recognises: browser and system. What is not known is shown as it is.
func agentWords(agent string) string {
	browser := ""
	for _, known := range []struct{ part, name string }{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(agent, known.part) {
			browser = known.name
			break
		}
	}
	system := ""
	for _, known := range []struct{ part, name string }{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, known.part) {
			system = known.name
			break
		}
	}
	if browser == "" || system == "" {
		return agent
	}
	return browser + " on " + system
}
