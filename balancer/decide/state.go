package decide

import (
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/forecast"
	"github.com/tidegate/tidegate/balancer/hindsight"
	"github.com/tidegate/tidegate/balancer/margin"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/startup"
	"github.com/tidegate/tidegate/balancer/storm"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/load"
)

// State is what a leader remembers between decisions, and what its successor continues from. It is bounded whatever the
// policy (at most 48 KiB as JSON), holds Redis server time only, and is never changed in place.
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
	// scale-in delay, Crowds the most clients of the storm's window; each the oldest first, and one bucket that is filling.
	Levels []Level `json:"levels,omitempty"`
	Level  Level   `json:"level,omitzero"`
	Trends []Trend `json:"trends,omitempty"`
	Trend  Trend   `json:"trend,omitzero"`
	Needs  []Need  `json:"needs,omitempty"`
	Need   Need    `json:"need,omitzero"`
	Crowds []Need  `json:"crowds,omitempty"`
	Crowd  Need    `json:"crowd,omitzero"`
	// Quick and Slow are the lines through the trends; Crush is that through all demand while clients wait.
	Quick forecast.Line `json:"quick,omitzero"`
	Slow  forecast.Line `json:"slow,omitzero"`
	Crush forecast.Line `json:"crush,omitzero"`
	Learned
	// Beliefs are what decisions rest on, and Promises the forecasts whose outcome is not known yet, the oldest first.
	Beliefs  Beliefs   `json:"beliefs,omitzero"`
	Promises []Promise `json:"promises,omitempty"`
}

// Learned is what a fleet has taught, and what a leader keeps though every answer was forgotten.
type Learned struct {
	// Fit is what heartbeats taught of capacity, and Model what of it could be believed.
	Fit   capacity.Fit   `json:"fit,omitzero"`
	Model capacity.Model `json:"model,omitzero"`
	// Churn is how many handshakes a second a connected client makes in quiet times.
	Churn float64 `json:"churn,omitempty"`
	// Errors are how far forecasts were off, Record how far trends came true.
	Errors margin.Errors   `json:"errors,omitzero"`
	Record forecast.Record `json:"record,omitzero"`
	// Starts are how long pods take to serve, Hindsight what became of scale-ins.
	Starts    startup.Starts   `json:"starts,omitzero"`
	Hindsight hindsight.Record `json:"hindsight,omitzero"`
	// Storm is the hold after a sudden fall of clients, and how far such falls are trusted to be outages.
	Storm storm.Watch `json:"storm,omitzero"`
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
// what it rested on is believed until better is known, and nothing leaves before a whole scale-in delay was watched anew.
func Resume(d decision.Decision) State {
	s := State{Decided: true, Last: handOut(d), Beliefs: believed(&d)}
	s.Model = s.Beliefs.Model
	return s
}

// Revive is the memory that a leader takes over at now, the server's time. A decision that ran out longer ago than the
// scale-in delay is no answer any more: the fleet has long been in the hands of KEDA's fallback, so it is decided on anew,
// and only the sequence goes on, which readers rely on never to go back. What the fleet has taught stays.
func Revive(p policy.Policy, s State, now time.Time) State {
	if !s.Decided || now.Sub(s.Last.ExpiresAt) <= p.ScaleInDelay {
		return s
	}
	return State{Now: s.Now, Last: unanswered(s.Last), Learned: s.Learned}
}

// mostStreak bounds a count that no step reads so far: the largest step is long reached.
const mostStreak = 1 << 20

// unseen is the part of the scale-in delay that may go by without a model before watching starts again.
const unseen = 4

// advance carries the memory to a newer reading. A gap too long to answer for starts the watch again; a clock that stepped
// back moves the whole memory with it, so that ages stay what they were and no window is negative.
func (s State) advance(p *policy.Policy, now time.Time, r *reading) State {
	if now.Before(s.Now) {
		return s.shifted(now.Sub(s.Now))
	}
	gap := max(p.StaleAfter(), min(p.DecisionTTL, p.ScaleInDelay/unseen))
	passed := now.Sub(s.Now)
	if s.Now.IsZero() || passed > gap {
		s.Watched, passed = now, 0
	}
	s.Now = now
	s.calm(r, passed)
	s.addLevel(p, now, &r.load)
	s.Fit = s.Fit.Learn(*p, &r.lesson, passed.Seconds())
	if s.addTrend(p, now, &r.load) {
		s.Model = s.Fit.Believe(*p, s.Model)
	}
	s.Starts = s.Starts.See(*p, now, r.alive+r.pending, r.in.Serving+r.in.Leaving)
	return s
}

// calmTime is how long a rush of handshakes must last to be the usual.
const calmTime = 10 * time.Minute

// calm learns how many handshakes clients make in quiet times.
func (s *State) calm(r *reading, passed time.Duration) {
	l := &r.load
	if l.Connected > 0 {
		rate := (l.Serving.Handshakes + l.Others.Handshakes) / l.Connected
		if s.Level.N == 0 {
			s.Churn = rate
		}
		s.Churn += (rate - s.Churn) * -math.Expm1(-passed.Seconds()/calmTime.Seconds())
	}
	l.Churn = s.Churn * l.Connected
}

// weather says whether clients have fallen away all at once.
func (s *State) weather(p *policy.Policy, clients float64) {
	earlier, highest := s.addCrowd(p, s.Now, clients)
	s.Storm = s.Storm.See(*p, s.Now, earlier, highest, clients)
}

// remember keeps what the next decision needs of this one.
func (s *State) remember(c *circumstances, d *decision.Decision) {
	before := s.Last.Desired
	if !s.Decided {
		before = c.r.alive + c.r.pending
	}
	switch {
	case d.Desired > before:
		s.Streak = min(s.inRow(c.p, c.now)+1, mostStreak)
		s.LastOut = c.now
		s.Snapshot = snapshot(d.Inputs)
		s.Hindsight = s.Hindsight.Out(*c.p, c.now, d.Desired-before)
	case d.Desired < before:
		s.Streak = 0
		s.LastIn = c.now
		s.Hindsight = s.Hindsight.In(*c.p, c.now, before-d.Desired)
	}
	s.addNeed(c.p, c.now, c.look.unmargined)
	s.Decided, s.Last = true, *d
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
func (s State) inRow(p *policy.Policy, now time.Time) int {
	if !s.grewLately(p, now) {
		return 0
	}
	return s.Streak
}

// grewLately says that the last scale-out is younger than the growth window.
func (s State) grewLately(p *policy.Policy, now time.Time) bool {
	return !s.LastOut.IsZero() && now.Sub(s.LastOut) < p.Steps.GrowthWindow
}
