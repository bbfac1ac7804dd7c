package web

import (
	"fmt"

	"viridian/rollout"
)

// BadgeView is what a badge says: the live generation and how the environment is.
type BadgeView struct {
	Name     string
	Colour   rollout.Colour // of the live generation; empty for none
	Live     int
	Standing Standing
}

// badgeLetter is how wide a letter is drawn.
const badgeLetter = 7

func (b BadgeView) word() string {
	if b.Live == 0 {
		return b.Standing.Word
	}
	return fmt.Sprintf("%d %s", b.Live, b.Standing.Word)
}

func (b BadgeView) text() string {
	if b.Live == 0 {
		return b.Name + ": " + b.Standing.Word
	}
	return fmt.Sprintf("%s: %s generation %d, %s", b.Name, b.Colour, b.Live, b.Standing.Word)
}

func (b BadgeView) nameAt() int {
	if b.Live == 0 {
		return 8
	}
	return 24
}

func (b BadgeView) nameWidth() int { return len([]rune(b.Name)) * badgeLetter }
func (b BadgeView) wordWidth() int { return len([]rune(b.word())) * badgeLetter }
func (b BadgeView) plateAt() int   { return b.nameAt() + b.nameWidth() + 8 }
func (b BadgeView) wordAt() int    { return b.plateAt() + 8 }
func (b BadgeView) width() int     { return b.wordAt() + b.wordWidth() + 8 }

// plate is the right part of the badge.
func (b BadgeView) plate() string {
	return fmt.Sprintf("M%d 0H%da4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H%dZ", b.plateAt(), b.width()-4, b.plateAt())
}

func (b BadgeView) fill() string {
	switch b.Standing.Tone {
	case Good:
		return "#1d6b59"
	case Busy:
		return "#4b4f8f"
	case Warn:
		return "#855300"
	case Bad:
		return "#b3261e"
	}
	return "#4c5a54"
}

// wallTitle names what is on the wall.
func wallTitle(o Overview) string {
	if o.Filter.Narrow() {
		return "Environments: " + o.Filter.Text
	}
	return "Environments"
}

// grave are the concerns that ask for a person; a wall has place for three.
func grave(list []Concern) []Concern {
	var out []Concern
	for _, c := range list {
		if (c.Tone == Warn || c.Tone == Bad) && len(out) < 3 {
			out = append(out, c)
		}
	}
	return out
}
