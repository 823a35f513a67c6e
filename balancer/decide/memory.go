package decide

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/internal/decision"
)

// shifted moves every time by the same amount, keeping the zero times that mean never.
func (s State) shifted(by time.Duration) State {
	for _, t := range []*time.Time{&s.Now, &s.Watched, &s.LastOut, &s.LastIn, &s.AskedMore, &s.Storm.Until, &s.Last.At, &s.Last.RefreshedAt, &s.Last.ExpiresAt} {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
	micros := by.Microseconds()
	s.Levels, s.Level = shift(s.Levels, s.Level, micros)
	s.Trends, s.Trend = shift(s.Trends, s.Trend, micros)
	s.Needs, s.Need = shift(s.Needs, s.Need, micros)
	s.Crowds, s.Crowd = shift(s.Crowds, s.Crowd, micros)
	s.Starts = s.Starts.Shifted(micros)
	s.Hindsight = s.Hindsight.Shifted(micros)
	promises := make([]Promise, len(s.Promises))
	for i, x := range s.Promises {
		x.Due += micros
		promises[i] = x
	}
	s.Promises = promises
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
	s.Levels = slices.DeleteFunc(s.Levels, ofOlderBuild)
	return s, nil
}

// ofOlderBuild finds readings by a build that did not yet tell who is connected from who waits: to it nobody would seem to be.
func ofOlderBuild(b Level) bool {
	return b.Clients > 0 && b.Connected == 0 && b.Serving.Nodes == 0 && b.Others.Nodes == 0
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
		ordered("levels", s.Levels, s.Level, s.Now), ordered("trends", s.Trends, s.Trend, s.Now),
		ordered("needs", s.Needs, s.Need, s.Now), ordered("crowds", s.Crowds, s.Crowd, s.Now),
		s.Quick.Validate(), s.Slow.Validate(), s.Crush.Validate(), s.Learned.validate(s.Now),
		s.Beliefs.validate(), validatePromises(s.Promises, s.Now))
}

func (l *Learned) validate(now time.Time) error {
	if !plausible(l.Churn) {
		return fmt.Errorf("churn %v is no rate of handshakes", l.Churn)
	}
	return errors.Join(l.Fit.Validate(), capacity.Validate(l.Model), l.Errors.Validate(), l.Record.Validate(), l.Starts.Validate(now), l.Hindsight.Validate(now), l.Storm.Validate(now))
}

func (b *Beliefs) validate() error {
	if !b.known() {
		if *b != (Beliefs{}) {
			return errors.New("beliefs have no margin")
		}
		return nil
	}
	if !(b.Margin >= 1 && b.Margin <= mostMargin && b.Trust >= 0 && b.Trust <= 1) || b.Lead <= 0 || b.Lead > farthest ||
		!plausible(b.Clients, b.Messages) || b.Serving < 0 {
		return errors.New("beliefs hold a margin, a trust, a lead time or a load that no fleet has")
	}
	return capacity.Validate(b.Model)
}

// mostMargin is what no policy lets a margin exceed.
const mostMargin = 5

// ordered refuses a window that is too long, out of order, from the future, or divides by nothing.
func ordered[T bucket[T]](name string, in []T, open T, now time.Time) error {
	if len(in) >= mostBuckets {
		return fmt.Errorf("%s has %d buckets: at most %d are kept", name, len(in), mostBuckets)
	}
	if open.at() != 0 {
		in = append(in[:len(in):len(in)], open)
	}
	for i, b := range in {
		switch {
		case !b.sound():
			return fmt.Errorf("%s[%d] holds no readings or numbers that no fleet has", name, i)
		case i > 0 && b.at() <= in[i-1].at():
			return fmt.Errorf("%s[%d] is not after the one before", name, i)
		case b.at() > now.UnixMicro():
			return fmt.Errorf("%s[%d] is after now", name, i)
		}
	}
	return nil
}
