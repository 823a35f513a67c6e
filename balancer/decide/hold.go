package decide

import (
	"fmt"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/load"
)

// why is a ground to hold, as a decision.Reason constant and in words.
type why struct {
	reason string
	words  string
}

// hold says whether the model can be decided on at all.
func hold(p *policy.Policy, f *load.Fleet, r *reading) (why, bool) {
	switch {
	case !f.Reachable || f.Now.IsZero():
		return why{decision.ReasonHoldNoRedis, "Redis could not be read"}, true
	case f.NoPolicy != "":
		// The limits of all fleets could be narrower than this one's own, and cut it.
		return why{decision.ReasonHoldNoPolicy, f.NoPolicy}, true
	case float64(r.in.Stale) > p.StaleQuorum*float64(r.known):
		return why{
			decision.ReasonHoldStale,
			fmt.Sprintf("%d of %d nodes have no fresh heartbeat, more than %.0f %%", r.in.Stale, r.known, 100*p.StaleQuorum),
		}, true
	default:
		return why{}, false
	}
}

// holding is the last decision as it was, with its old expiry and the ground to hold. Where nothing was ever decided it is
// an answer that has expired already, so that nobody acts on a guess.
func holding(p *policy.Policy, s *State, f *load.Fleet, w why) decision.Decision {
	d := handOut(s.Last)
	if !s.Decided {
		d = decision.Decision{
			Fleet: f.ID, Desired: p.MinReplicas, ExpiresAt: expired(f.Now),
			Policy: string(p.Kind), Mode: string(p.Mode),
		}
		d.Reason, d.Note = w.reason, fmt.Sprintf("No answer yet: %s.", w.words)
		return d
	}
	if !d.AnswerLasts {
		// A wider step is only safe while somebody watches it land; the plain count keeps what there is.
		d.Answer = 0
	}
	d.Reason = w.reason
	d.Note = fmt.Sprintf("Hold at %d nodes: %s; the answer stands until %s.", d.Desired, w.words, d.ExpiresAt.Format(time.TimeOnly))
	return d
}

// expired is an expiry that has passed at any time a reader can have.
func expired(now time.Time) time.Time {
	if now.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return now.UTC().Round(0)
}
