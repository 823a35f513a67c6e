package main

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/hack/cluster/component"
)

func TestAFreshStartNeverGoesOnWithACluster(t *testing.T) {
	cases := []struct {
		name      string
		empty, up bool
		wants     component.Profile
		goesOn    bool
		err       string
	}{
		{"nothing there", false, false, component.Default, false, ""},
		{"one is up", false, true, component.Default, true, ""},
		{"one is up with another profile", false, true, component.NoTolerance, false, "up --fresh"},
		{"fresh, and one is up: a run would pass or fail by what an earlier one left", true, true, component.Default, false, ""},
		{"fresh, with another profile", true, true, component.NoTolerance, false, ""},
	}
	for _, c := range cases {
		goesOn, err := adopts(c.empty, c.up, component.Default, c.wants)
		if goesOn != c.goesOn || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: goes on %t, %v", c.name, goesOn, err)
		}
	}
}
