package decide

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/load"
)

// State is what a leader remembers between decisions, and what its successor continues from. It is bounded whatever the
// policy (at most 24 KiB as JSON), holds Redis server time only, and is never changed in place.
type State struct {
	// Now is the time of the newest model that was decided on.
	Now time.Time `json:"now"`
	// Watched is when the unbroken run of models began that reaches to Now.
	Watched time.Time `json:"watched"`
	// Decided says that Last stands. Without it Last is at most the fleet and the sequence that the next decision continues.
	Decided bool `json:"decided,omitempty"`
	// Last is the newest decision that was made on trusted data.
	Last decision.Decision `json:"last,omitzero"`
	// LastOut and LastIn are when Desired last rose and last fell; zero when it never did.
	LastOut time.Time `json:"lastOut"`
	LastIn  time.Time `json:"lastIn"`
	// Asked is the Deployment's spec.replicas at Now, and AskedMore when it last rose, whoever did that; zero outside a cluster.
	Asked     int       `json:"asked,omitempty"`
	AskedMore time.Time `json:"askedMore,omitzero"`
	// Streak is the number of scale-outs in a row, each soon after the one before.
	Streak int `json:"streak"`
	// Snapshot is the load at the last scale-out.
	Snapshot Snapshot `json:"snapshot"`
	// Levels are the readings of the level's window, Trends those of clients for the slopes, Needs the largest needs of the
	// scale-in delay; each the oldest first.
	Levels []Level `json:"levels,omitempty"`
	Trends []Trend `json:"trends,omitempty"`
	Needs  []Need  `json:"needs,omitempty"`
}

// Snapshot is the load that table mode measures growth against.
type Snapshot struct {
	CPU         float64       `json:"cpu"`
	Memory      float64       `json:"memory"`
	Messages    float64       `json:"messages"`
	Connections float64       `json:"connections"`
	P95Latency  time.Duration `json:"p95LatencyNanos"`
}

// Resume is the memory of a leader that knows only the decision that stands: its count is kept and its sequence continued,
// and nothing leaves before a whole scale-in delay was watched anew.
func Resume(d decision.Decision) State { return State{Decided: true, Last: handOut(d)} }

// Revive is the memory that a leader takes over at now, the server's time. A decision that ran out longer ago than the
// scale-in delay is no answer any more: the fleet has long been in the hands of KEDA's fallback, so it is decided on anew,
// and only the sequence goes on, which readers rely on never to go back.
func Revive(p policy.Policy, s State, now time.Time) State {
	if !s.Decided || now.Sub(s.Last.ExpiresAt) <= p.ScaleInDelay {
		return s
	}
	return State{Last: unanswered(s.Last)}
}

// mostStreak bounds a count that no step reads so far: the largest step is long reached.
const mostStreak = 1 << 20

// unseen is the part of the scale-in delay that may go by without a model before watching starts again.
const unseen = 4

// advance carries the memory to a newer reading. A gap too long to answer for starts the watch again; a clock that stepped
// back moves the whole memory with it, so that ages stay what they were and no window is negative.
func (s State) advance(p policy.Policy, now time.Time, r reading) State {
	if now.Before(s.Now) {
		return s.shifted(now.Sub(s.Now))
	}
	gap := max(p.StaleAfter(), min(p.DecisionTTL, p.ScaleInDelay/unseen))
	if s.Now.IsZero() || now.Sub(s.Now) > gap {
		s.Watched = now
	}
	s.Now = now
	s.Levels = addLevel(s.Levels, p, now, r)
	s.Trends = addTrend(s.Trends, p, now, r.connected)
	return s
}

// remember keeps what the next decision needs of this one.
func (s State) remember(p policy.Policy, c circumstances, d decision.Decision) State {
	before := s.Last.Desired
	if !s.Decided {
		before = c.r.alive + c.r.pending
	}
	switch {
	case d.Desired > before:
		s.Streak = min(s.inRow(p, c.now)+1, mostStreak)
		s.LastOut = c.now
		s.Snapshot = snapshot(d.Inputs)
	case d.Desired < before:
		s.Streak = 0
		s.LastIn = c.now
	}
	s.Needs = addNeed(s.Needs, p, c.now, c.look.need)
	s.Decided, s.Last = true, d
	return s
}

// count remembers what the Deployment is asked for.
func (s State) count(cluster *load.Cluster, now time.Time) State {
	if cluster == nil {
		s.Asked, s.AskedMore = 0, time.Time{}
		return s
	}
	if cluster.Spec > s.Asked {
		s.AskedMore = now
	}
	s.Asked = cluster.Spec
	return s
}

// inRow is how many scale-outs led here without a pause longer than the growth window.
func (s State) inRow(p policy.Policy, now time.Time) int {
	if !s.grewLately(p, now) {
		return 0
	}
	return s.Streak
}

// grewLately says that the last scale-out is younger than the growth window.
func (s State) grewLately(p policy.Policy, now time.Time) bool {
	return !s.LastOut.IsZero() && now.Sub(s.LastOut) < p.Steps.GrowthWindow
}

// shifted moves every time by the same amount, keeping the zero times that mean never.
func (s State) shifted(by time.Duration) State {
	for _, t := range []*time.Time{&s.Now, &s.Watched, &s.LastOut, &s.LastIn, &s.AskedMore, &s.Last.At, &s.Last.RefreshedAt, &s.Last.ExpiresAt} {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
	micros := by.Microseconds()
	s.Levels = shift(s.Levels, micros)
	s.Trends = shift(s.Trends, micros)
	s.Needs = shift(s.Needs, micros)
	return s
}

// Encode writes the memory as DecodeState reads it.
func (s State) Encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode decision memory: %w", err)
	}
	return body, nil
}

// DecodeState reads a memory and refuses one that no leader could have written: a leader without memory is slow to scale in,
// one with a false memory is wrong.
func DecodeState(body []byte) (State, error) {
	var s State
	if err := json.Unmarshal(body, &s); err != nil {
		return State{}, fmt.Errorf("decode decision memory: %w", err)
	}
	if err := s.validate(); err != nil {
		return State{}, fmt.Errorf("decision memory: %w", err)
	}
	if !s.Decided {
		// Of an answer that does not stand only its place in the sequence counts.
		s.Last = unanswered(s.Last)
	}
	return s, nil
}

// unanswered is what stays of a decision that is no answer any more: the sequence must never go back.
func unanswered(d decision.Decision) decision.Decision {
	if d.Sequence == 0 {
		return decision.Decision{}
	}
	return decision.Decision{Fleet: d.Fleet, Sequence: d.Sequence}
}

func (s State) validateLast() error {
	switch {
	case s.Decided && s.Last.Sequence == 0:
		return errors.New("last stands but has no sequence")
	case s.Decided:
		return s.Last.Validate()
	case s.Last.Desired != 0 || len(s.Last.Victims) > 0 || !s.Last.ExpiresAt.IsZero():
		return errors.New("last holds an answer that does not stand")
	case s.Last.Sequence > 0:
		return s.Last.Fleet.Validate()
	default:
		return nil
	}
}

func (s State) validate() error {
	if err := s.validateLast(); err != nil {
		return err
	}
	for name, t := range map[string]time.Time{"watched": s.Watched, "lastOut": s.LastOut, "lastIn": s.LastIn, "askedMore": s.AskedMore} {
		if t.After(s.Now) {
			return fmt.Errorf("%s %s is after now %s", name, t, s.Now)
		}
	}
	if s.Streak < 0 || s.Streak > mostStreak {
		return fmt.Errorf("streak %d is outside 0 to %d", s.Streak, mostStreak)
	}
	return errors.Join(
		ordered("levels", s.Levels, s.Now), ordered("trends", s.Trends, s.Now), ordered("needs", s.Needs, s.Now))
}
