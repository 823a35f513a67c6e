package demo

import (
	"math"
	"testing"
	"time"
)

func TestTheDayHasItsPhasesInOrderAndFillsTheWholeDuration(t *testing.T) {
	total := 0.0
	for _, s := range day() {
		total += s.share
	}
	if math.Abs(total-1) > 1e-9 {
		t.Fatalf("shares add up to %v: the demo would not last as long as it says", total)
	}
	var names []string
	for elapsed := time.Duration(0); elapsed <= 100*time.Second; elapsed += time.Second {
		m := momentAt(day(), 200, 100*time.Second, elapsed)
		if len(names) == 0 || names[len(names)-1] != m.stage {
			names = append(names, m.stage)
		}
		if m.clients < 2 || m.clients > 200 {
			t.Errorf("%s at %s: %d clients of 200", m.stage, elapsed, m.clients)
		}
	}
	want := []string{"quiet", "ramp", "burst", "steady", "night"}
	if len(names) != len(want) {
		t.Fatalf("phases are %v: want %v", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Fatalf("phases are %v: want %v", names, want)
		}
	}
}

func TestTheBurstIsMessagesAndTheNightIsEmpty(t *testing.T) {
	at := func(share float64) moment {
		return momentAt(day(), 200, 100*time.Second, time.Duration(share*100)*time.Second)
	}
	burst, steady, night := at(0.45), at(0.63), at(1)
	if burst.clients != steady.clients || burst.rate < 4*steady.rate {
		t.Errorf("burst %+v against steady %+v: the burst must be one of messages", burst, steady)
	}
	if night.clients > 30 {
		t.Errorf("night has %d clients: the fleet could not shrink", night.clients)
	}
	if past := momentAt(day(), 200, 100*time.Second, 500*time.Second); past.stage != "night" || past.done != 1 {
		t.Errorf("past the end it is %+v: with --keep the night goes on", past)
	}
}
