package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/load"
)

func unheard(c *load.Cluster) { c.Stale = true }

func inShadow() policy.Policy {
	p := quick()
	p.Mode = policy.Shadow
	return p
}

func shared(c *load.Cluster) { c.Shared = true }

// What is asked for may have changed since: the shadow's answer would undo it.
func TestAShadowThatDoesNotHearTheAPIServerGivesNoAnswer(t *testing.T) {
	for name, change := range map[string]func(*load.Cluster){"lone": func(*load.Cluster) {}, "shared": shared} {
		s := tell(t, inShadow())
		if d := s.run(5, nodes(5, 50), cluster(5, change)); d.Answer == 0 {
			t.Fatalf("%s: no answer: %+v", name, d)
		}
		if d := s.step(nodes(5, 50), cluster(5, change, unheard)); d.Answer != 0 || d.AnswerLasts || !strings.Contains(d.Note, "is not heard") {
			t.Errorf("%s: answer %d, which lasts: %v, note %q: want none", name, d.Answer, d.AnswerLasts, d.Note)
		}
	}
}

func TestNoStepIsServedWideWhileTheAPIServerIsNotHeard(t *testing.T) {
	s := tell(t, quick())
	s.step(nodes(20, 0), cluster(20))
	d := s.run(5, nodes(20, 95), cluster(20, unheard))
	if d.Desired != 21 || d.Answer != 0 {
		t.Errorf("desired %d, answer %d: the wider step may have landed already", d.Desired, d.Answer)
	}
	if d := s.step(nodes(20, 95), cluster(20)); d.Answer != 23 {
		t.Errorf("answer %d, want 23 as soon as it is known that it has not", d.Answer)
	}
}

func TestNobodyLeavesWhileTheAPIServerIsNotHeard(t *testing.T) {
	s := tell(t, quick())
	s.run(20, nodes(12, 90), cluster(12, exact))
	d := s.run(60, nodes(12, 20), cluster(12, exact, unheard))
	if d.Desired < 12 || len(d.Victims) > 0 || d.LimitedBy != decision.LimitStale {
		t.Errorf("desired %d, limited by %q, victims %v: what is not known never scales in", d.Desired, d.LimitedBy, d.Victims)
	}
	if d := s.run(60, nodes(12, 20), cluster(12, exact)); d.Desired >= 12 {
		t.Errorf("desired %d (%s) although it is heard again", d.Desired, d.Note)
	}
}

// One beside other triggers is right whatever becomes of the fleet; what is asked for is not.
func TestOnlyASharedShadowsAnswerOutlivesAHold(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*load.Cluster)
		served int // by the held decision, a minute later than it was made
		held   bool
	}{
		{"shared", shared, 1, true},
		{"lone", func(*load.Cluster) {}, 0, false},
	} {
		p := inShadow()
		p.DecisionTTL = 90 * time.Second
		s := tell(t, p)
		made := s.run(5, nodes(5, 50), cluster(5, c.change))
		d := s.step(nodes(5, 50), cluster(5, c.change), func(f *load.Fleet) { f.Reachable = false })
		if later := made.RefreshedAt.Add(time.Minute); d.Watched(later) != c.held || c.held && d.Served(later) != c.served {
			t.Errorf("%s: told %v, %d after a minute's hold", c.name, d.Watched(later), d.Served(later))
		}
		if !d.ExpiresAt.Equal(made.ExpiresAt) {
			t.Errorf("%s: expires at %v, want %v as before", c.name, d.ExpiresAt, made.ExpiresAt)
		}
	}
}

// What a user has paused would be nominated, emptied, and never leave.
func TestAFleetWhosePodsAreKeptEmptiesNone(t *testing.T) {
	kept := func(c *load.Cluster) { c.Kept = "scaling in is paused" }
	gone := func(c *load.Cluster) { c.Kept, c.HPA = "KEDA is paused", load.Autoscaler{} }
	for name, change := range map[string]func(*load.Cluster){"paused in": kept, "paused in all": gone} {
		for kind, begin := range map[policy.Kind]int{policy.Count: 90, policy.Table: 20} {
			p := quick()
			p.Kind = kind
			s := tell(t, p)
			s.run(20, nodes(12, begin), cluster(12, exact, change))
			d := s.run(60, nodes(12, 20), cluster(12, exact, change))
			if d.Desired < 12 || len(d.Victims) > 0 || d.LimitedBy != decision.LimitPaused || !strings.Contains(d.Note, "paused") {
				t.Errorf("%s, %s: desired %d, limited by %q, victims %v: want nobody to leave, and why\nnote: %s", name, kind, d.Desired, d.LimitedBy, d.Victims, d.Note)
			}
			if d := s.run(60, nodes(12, 20), cluster(12, exact)); d.Desired >= 12 || len(d.Victims) == 0 {
				t.Errorf("%s, %s: desired %d, victims %v after the pause", name, kind, d.Desired, d.Victims)
			}
		}
	}
}

func TestAPauseFreesWhoWasToLeave(t *testing.T) {
	s, all := toLeave(t)
	d := s.step(all, cluster(len(all), exact, func(c *load.Cluster) { c.Kept = "scaling in is paused" }))
	if len(d.Victims) > 0 {
		t.Errorf("victims %v: they would idle for as long as the pause lasts", d.Victims)
	}
}

func TestAPauseOfTheWayInLeavesTheWayOut(t *testing.T) {
	kept := func(c *load.Cluster) { c.Kept = "scaling in is paused" }
	s := tell(t, quick())
	s.step(nodes(20, 0), cluster(20, kept))
	if d := s.run(5, nodes(20, 95), cluster(20, kept)); d.Desired != 21 || d.Answer != 23 {
		t.Errorf("desired %d, answer %d, want 21 served as 23", d.Desired, d.Answer)
	}
}

func TestWithoutAPolicyTheDecisionHolds(t *testing.T) {
	nobody := func(f *load.Fleet) { f.NoPolicy = "its policy is refused" }
	s := tell(t, quick())
	made := s.run(5, nodes(12, 90), cluster(12, exact))
	s.p.MaxReplicas = 3
	d := s.run(60, nodes(12, 90), cluster(12, exact), nobody)
	if d.Desired != made.Desired || d.Reason != decision.ReasonHoldNoPolicy || !d.ExpiresAt.Equal(made.ExpiresAt) || !strings.Contains(d.Note, "its policy is refused") {
		t.Errorf("desired %d for %s until %v, note %q: want the last decision, and why", d.Desired, d.Reason, d.ExpiresAt, d.Note)
	}
	f := model(1, nodes(12, 90))
	nobody(&f)
	if d, _ := decide.Next(quick(), decide.State{}, f); d.Sequence != 0 || !d.Expired(f.Now) {
		t.Errorf("decision %+v: want no answer where there never was one", d)
	}
}
