package page

import (
	"strings"
	"testing"
)

func TestTheHistoryCarriesWhatIsDecidedAndWhatIsAskedFor(t *testing.T) {
	f := NewFeed(2)
	for i := range 130 { // the first minutes are coarse points by now
		s := snapshotOf(chat, i, 9)
		s.Decision.Mode, s.Asked = "shadow", 3+i/60
		f.Publish(s)
	}
	past, _ := f.past(chat, 0)
	if n := len(past.Columns.At); n != len(past.Columns.Asked) || n != len(past.Columns.Desired) {
		t.Fatalf("%d points, %d asked, %d desired", n, len(past.Columns.Asked), len(past.Columns.Desired))
	}
	if got := past.Columns.Asked; got[0] != 3 || got[len(got)-1] != 5 || past.Columns.Desired[0] != 9 {
		t.Errorf("asked %v, desired %v: want 3 to 5 asked for beside the 9 that were decided", got, past.Columns.Desired)
	}
	if s := f.latest(chat).snapshot; s.Point.Asked != 5 {
		t.Errorf("a live page would draw %d, want 5", s.Point.Asked)
	}
}

func TestShadowModeIsLabelled(t *testing.T) {
	files := ours(t)
	for name, words := range map[string][]string{
		"index.html":     {`id="key-asked" hidden>asked for</li>`, `class="shadow" id="shadow" hidden`},
		"js/summary.js":  {"shadow would ask for", "nothing is acted on"},
		"js/series.js":   {"store.shadow ? nullZero(c().asked)", `"shadow would ask for"`},
		"css/charts.css": {".key-asked"},
		"js/format.js":   {"this policy would ask for"},
		"js/charts.js":   {"f.intent(s)"},
		"css/header.css": {".shadow {"},
		"js/store.js":    {`mode === "shadow"`},
	} {
		for _, word := range words {
			if !strings.Contains(files[name], word) {
				t.Errorf("%s does not hold %q: a shadow's page looks as if somebody acted on it", name, word)
			}
		}
	}
}
