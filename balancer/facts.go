package balancer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/balancer/cluster"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// Facts is what Kubernetes says of the fleets. Its methods answer from memory and are safe for concurrent use.
type Facts interface {
	// Look is what is known of the fleet, all of it at one moment: a policy is never older than the word that it is known.
	Look(id fleet.ID) cluster.View
}

// Events tells users of a fleet what the leader does and what is wrong, where they look first. Tell must not block.
type Events interface {
	Tell(id fleet.ID, warning bool, reason, message string)
}

// nothing is what an ordinary machine says of fleets.
type nothing struct{}

func (nothing) Look(fleet.ID) cluster.View          { return cluster.View{} }
func (nothing) Tell(fleet.ID, bool, string, string) {}

// The reasons of events, one word each as Kubernetes wants them.
const (
	eventDecided   = "ReplicasDecided"
	eventHeld      = "DecisionHeld"
	eventPolicy    = "PolicyRefused"
	eventSettings  = "SettingsQuestioned"
	eventStuck     = "PodsStuck"
	eventTolerance = "ToleranceMissing"
	eventHeavy     = "ShardTooHeavy"
	eventRecovered = "Recovered"
)

// finding is a state of a fleet that users must hear of when it begins and when it ends.
type finding struct {
	reason string
	// words say what is wrong; empty when nothing is.
	words string
	// same is what must change for the words to be told anew; empty when that is the words themselves.
	same string
	// over says that it is over; empty when that needs no words.
	over string
}

// findings are those of a model and its decision.
func findings(f load.Fleet, d decision.Decision) []finding {
	held := finding{reason: eventHeld, over: "Decisions are made again."}
	// Of a fleet of which the API server has not told there is nobody to tell: most often it is about to.
	if strings.HasPrefix(d.Reason, "hold-") && (f.NoPolicy == "" || f.Cluster != nil) {
		held.words, held.same = d.Note, d.Reason+f.NoPolicy // the words count down to the expiry
	}
	stuck := finding{reason: eventStuck, over: "No pod is stuck any more."}
	if f.Stuck > 0 {
		stuck.words, stuck.same = stuckWords(f), strconv.Itoa(f.Stuck) // a crash loop looks healthy now and then
	}
	c := f.Cluster
	if c == nil {
		return []finding{held, stuck}
	}
	refused := finding{reason: eventPolicy, over: "The policy is in use again."}
	if c.Fault != "" && f.NoPolicy == "" {
		refused.words = "The last good policy holds: " + c.Fault
	}
	missing := finding{reason: eventTolerance}
	if up, down := c.HPA.Tolerances(); c.HPA.Found && (up > 0 || down > 0) {
		missing.words = fmt.Sprintf("The HPA ignores steps within %.0f %% out and %.0f %% in: wider ones are served where they must land. "+
			"Give the ScaledObject's behavior a tolerance of \"0\" both ways; Kubernetes before 1.35 drops it.", 100*up, 100*down)
	}
	return []finding{held, stuck, refused, missing, {reason: eventSettings, words: strings.Join(c.Warnings, "; ")}}
}

// tooHeavy tells of shards that no node can carry beside others. More nodes would not help, so none are asked for.
func tooHeavy(heavy []shard.ID) finding {
	found := finding{reason: eventHeavy, over: "No shard is too heavy for a node any more."}
	if len(heavy) == 0 {
		return found
	}
	found.same = fmt.Sprint(heavy)
	named, more := heavy, ""
	if len(heavy) > namedShards {
		named, more = heavy[:namedShards], fmt.Sprintf(" and %d more", len(heavy)-namedShards)
	}
	found.words = fmt.Sprintf("Shards %v%s fill a node each, which they have to themselves; more nodes would not help. "+
		"Spread what their busiest clients receive over more client ids.", named, more)
	return found
}

// namedShards is how many shards a sentence can hold.
const namedShards = 5

// namedPods is how many pods a sentence can hold.
const namedPods = 3

// stuckWords say how many replicas do not start, and of some pods why.
func stuckWords(f load.Fleet) string {
	text := fmt.Sprintf("%d replicas do not get to serve; they are not asked for again", f.Stuck)
	if f.Cluster == nil {
		return text
	}
	var named []string
	for _, id := range slices.Sorted(maps.Keys(f.Cluster.Pods)) {
		pod := f.Cluster.Pods[id]
		if pod.Trouble != "" && !pod.Deleting {
			named = append(named, fmt.Sprintf("%s is in %s", id, pod.Trouble))
		}
	}
	if more := len(named) - namedPods; more > 0 {
		named = append(named[:namedPods], fmt.Sprintf("and %d more", more))
	}
	if len(named) == 0 {
		return text
	}
	return text + ": " + strings.Join(named, ", ")
}

// announce tells of what began and ended since this term last looked.
func (h *helm) announce(f load.Fleet) {
	for _, found := range append(findings(f, h.shown), tooHeavy(h.k.picture.Heavy)) {
		now := found.words
		if now != "" && found.same != "" {
			now = found.same
		}
		if h.said[found.reason] == now {
			continue
		}
		h.said[found.reason] = now
		switch {
		case now != "":
			h.k.b.Events.Tell(h.k.id, true, found.reason, found.words)
		case found.over != "":
			h.k.b.Events.Tell(h.k.id, false, eventRecovered, found.over)
		}
	}
}
