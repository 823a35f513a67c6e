package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/backtest/recording"
)

// Replay writes what a replay found, as a table and the words to read it by.
func Replay(w io.Writer, o recording.Outcome) error { return write(w, replaySheet(o), "") }

func replaySheet(o recording.Outcome) sheet {
	s := sheet{
		head:  []string{"count", "pod hours", "least", "peak", "changes", "reversals", "below the need"},
		notes: replayNotes(o),
	}
	add := func(name string, ours bool, l recording.Line) {
		s.lines = append(s.lines, line{name: name, ours: ours, cells: []cell{
			{text: hours(l.PodSeconds)},
			{text: strconv.Itoa(l.Least)},
			{text: strconv.Itoa(l.Peak)},
			{text: strconv.Itoa(l.Changes)},
			{text: strconv.Itoa(l.Reversals)},
			{text: seconds(l.ShortSeconds)},
		}})
	}
	add("asked for", false, o.Asked)
	if o.Decided.PodSeconds > 0 {
		add("decided", false, o.Decided)
	}
	add("this policy", true, o.Replayed)
	return s
}

// replayNotes say what was replayed, and what that does not say.
func replayNotes(o recording.Outcome) []string {
	h := o.Header
	changed := "the recorded policy"
	if len(o.Changed) > 0 {
		changed = "the recorded policy with " + strings.Join(o.Changed, ", ")
	}
	out := []string{
		fmt.Sprintf("%s, %s to %s (%d readings): %s.", h.Fleet, stamp(o.From), stamp(o.Until), o.Frames, changed),
		fmt.Sprintf("The fleet that ran: %s of client time was bad; it served for %s pod hours where %s would have held every node at 0.80; its need peaked at %d.",
			percent(o.Fleet.Bad()), hours(o.Fleet.PodSeconds), hours(o.Fleet.NeedSeconds), o.Fleet.PeakNeed),
		"The recorded fleet reacts to nothing: this is what would have been asked for, not how clients would have fared. After the first difference the policy looks at a fleet of another size than it asks for.",
	}
	if o.Decided.PodSeconds > 0 {
		out = append(out, fmt.Sprintf("It decides what was decided in %s of the readings.", percent(o.Agreed)))
	}
	if o.Gaps > 0 {
		out = append(out, fmt.Sprintf("The recording has %d holes, whose time counts as nothing.", o.Gaps))
	}
	for _, text := range []string{h.Coarse, o.Cold, o.Incomplete} {
		if text != "" {
			out = append(out, strings.ToUpper(text[:1])+text[1:]+".")
		}
	}
	return out
}

func hours(podSeconds float64) string { return fmt.Sprintf("%.2f", podSeconds/time.Hour.Seconds()) }

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") }
