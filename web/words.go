package web

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"viridian/rollout"
)

func itoa64(n int64) string { return strconv.FormatInt(n, 10) }

// stateTone says what a generation's state means to the reader.
func stateTone(s rollout.GenerationState) Tone {
	switch s {
	case rollout.Live, rollout.Ready:
		return Good
	case rollout.Registered, rollout.Validating, rollout.Shifting:
		return Busy
	case rollout.Failed:
		return Bad
	case rollout.Rejected:
		return Warn
	}
	return Neutral
}

// receiptTone says what a receipt's state means.
func receiptTone(s rollout.ReceiptState) Tone {
	switch s {
	case rollout.InSync:
		return Good
	case rollout.Behind:
		return Busy
	case rollout.Unreachable:
		return Warn
	}
	return Bad
}

// receiptWord is a receipt's state as people say it.
func receiptWord(s rollout.ReceiptState) string { return strings.ReplaceAll(string(s), "_", " ") }

// switchTone says how far a switch has come.
func switchTone(s Switch) Tone {
	switch {
	case s.Status == rollout.Applied && s.Degraded:
		return Warn
	case s.Status == rollout.Applied:
		return Good
	case s.Status == rollout.Committed:
		return Busy
	}
	return Neutral
}

// switchWord is the status of a switch as people say it.
func switchWord(s Switch) string {
	if s.Degraded && s.Status == rollout.Applied {
		return "applied, degraded"
	}
	return string(s.Status)
}

// promotionTone says how a promotion goes or went.
func promotionTone(s rollout.PromotionState) Tone {
	switch s {
	case rollout.PromotionSucceeded:
		return Good
	case rollout.PromotionShifting, rollout.PromotionBaking:
		return Busy
	case rollout.PromotionPaused, rollout.PromotionRolledBack, rollout.PromotionAborted:
		return Warn
	}
	return Neutral
}

// underscored replaces the underscores of a word of the API.
func underscored(word string) string { return strings.ReplaceAll(word, "_", " ") }

// fromTo says what a switch did to the traffic.
func fromTo(s Switch) string {
	switch {
	case s.From == 0 && s.To == 0:
		return "weights set"
	case s.From == 0:
		return fmt.Sprintf("to %d", s.To)
	case s.To == 0:
		return fmt.Sprintf("from %d", s.From)
	}
	return fmt.Sprintf("%d → %d", s.From, s.To)
}

// plural is a count with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return itoa(n) + " " + many
}

// shortCommit is how much of a commit people read.
func shortCommit(commit string) string {
	if len(commit) > 12 && isHex(commit) {
		return commit[:12]
	}
	return commit
}

func isHex(text string) bool {
	return strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

// healthText is a service's health in words.
func healthText(h ServiceHealth) string {
	if !h.Known && h.At.IsZero() {
		return fmt.Sprintf("health of %d not known yet", h.Total)
	}
	if !h.Known {
		return fmt.Sprintf("%d of %d healthy when last seen", h.Healthy, h.Total)
	}
	return fmt.Sprintf("%d of %d healthy", h.Healthy, h.Total)
}

func dotsBox(n int) string { return "0 0 " + itoa(n*10) + " 10" }

// dotClass marks the instance at that place: the healthy ones come first, those not known yet last.
func dotClass(h ServiceHealth, i int) string {
	switch {
	case !h.Known:
		return "dot dot-unknown"
	case i < h.Healthy:
		return "dot dot-good"
	case i < h.Healthy+h.Unhealthy:
		return "dot dot-bad"
	}
	return "dot dot-unknown"
}

// nodesText says how many nodes do what was decided.
func nodesText(receipts []Receipt) string {
	if len(receipts) == 0 {
		return "no node"
	}
	in := 0
	for _, r := range receipts {
		if r.State == rollout.InSync {
			in++
		}
	}
	return fmt.Sprintf("%d of %s", in, plural(len(receipts), "node", "nodes"))
}

// eventWords says what happened: the kind with what it is about, where no sentence is known for it.
func eventWords(e Event) string {
	if e.Sentence != "" {
		return e.Sentence
	}
	noun, verb, _ := strings.Cut(e.Kind, ".")
	about := ""
	switch {
	case noun == "generation" && e.Generation != 0:
		about = " " + itoa(e.Generation)
	case noun == "switch" && e.Revision != 0:
		about = " " + itoa64(e.Revision)
	}
	rest := ""
	if noun != "generation" && e.Generation != 0 {
		rest = ", generation " + itoa(e.Generation)
	}
	return noun + about + " " + underscored(verb) + rest
}

// goesBack says whether a switch went back to what had served before.
func goesBack(s Switch) bool {
	return s.Kind == rollout.SwitchRollback || s.Kind == rollout.SwitchAbort
}

// labelled names a region: by an element of the page, else in words.
func labelled(by, words string) templ.Attributes {
	if by != "" {
		return templ.Attributes{"aria-labelledby": by}
	}
	return templ.Attributes{"aria-label": words}
}

// rollbackTarget is the generation that a rollback of the environment goes to; 0 for none.
func rollbackTarget(e Environment) int {
	if e.Rollback.Target == nil {
		return 0
	}
	return e.Rollback.Target.Number
}

// replacedText says what took a generation's place.
func replacedText(d GenerationDetail) string {
	if d.ReplacedTo == 0 {
		return "lost its traffic"
	}
	return "replaced by generation " + itoa(d.ReplacedTo)
}

// Sentence makes one of a phrase. A name in front, as of who did something (token:anna), stays as it is written.
func Sentence(text string) string {
	if text == "" {
		return ""
	}
	first, _, _ := strings.Cut(text, " ")
	if !strings.Contains(first, ":") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text + "."
}
