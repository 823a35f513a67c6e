package decide

import (
	"fmt"
	"time"

	"github.com/tidegate/tidegate/balancer/capacity"
	"github.com/tidegate/tidegate/balancer/policy"
)

// Promise is a forecast that awaits its outcome.
type Promise struct {
	// Due is when a pod asked for at its time can serve, in microseconds.
	Due int64 `json:"t"`
	// Sized is the need that the fleet was sized for, before the margin: the largest of the scale-in delay, because what was
	// needed a moment ago is still there.
	Sized float64 `json:"s"`
	// Level are the clients of its time, Rise those that the trend promised on top.
	Level float64 `json:"c"`
	Rise  float64 `json:"r,omitempty"`
}

const (
	// mostPromises bounds the forecasts that await their outcome; they are spread over the lead time.
	mostPromises = 16
	// leastApart is the least time between two of them.
	leastApart = time.Second
)

// judge compares the forecasts that have fallen due with what came, and learns from it how far trends and forecasts are to be
// believed. During a storm nothing is learned: an outage says nothing of usual days.
func (s *State) judge(p *policy.Policy, level capacity.Load) {
	micros := s.Now.UnixMicro()
	due := 0
	for due < len(s.Promises) && s.Promises[due].Due <= micros {
		due++
	}
	if due == 0 {
		return
	}
	newest := s.Promises[due-1]
	// The memory that was handed in keeps its list: this one only starts later in it.
	s.Promises = s.Promises[due:]
	if s.Storm.Holds() || !s.Beliefs.known() {
		return
	}
	apart := s.apart()
	if time.Duration(micros-newest.Due)*time.Microsecond > 2*apart {
		// Nobody looked when it fell due.
		return
	}
	needed := s.reality(p, level)
	s.Record = s.Record.Add(*p, newest.Level, newest.Rise, level.Clients, apart.Seconds())
	// What the minimum covers at any margin tells nothing about one.
	if needed*p.Learn.MarginMost > float64(p.MinReplicas) && newest.Sized > 0 {
		s.Errors = s.Errors.Add(*p, needed/newest.Sized, apart.Seconds())
	}
}

// spacious is the mean CPU below which a fleet has room, and a node that is hot in it is cured by moving its clients alone: no hot
// node teaches a margin that would bring the mean further down.
const spacious = 0.75

// reality is what was needed: what the load asks for, or, where nodes of a full fleet are too hot, what there is and as much more
// as they are too hot, because clients fare badly on single nodes and not on the mean.
func (s *State) reality(p *policy.Policy, level capacity.Load) float64 {
	needs := capacity.Of(*p, s.Beliefs.Model, level, 1, 1)
	need, _ := needs.Most()
	base, limit := s.Beliefs.Model.CPU.Base, p.Learn.NodeCPU
	if !(level.Hot > limit) || !(base < min(limit, spacious)) {
		return need
	}
	hot := level.Serving.Nodes * (level.Hot - base) / (limit - base)
	return max(need, min(hot, needs.CPU*(p.CPUCeiling-base)/(spacious-base)))
}

// apart is the time between two promises.
func (s *State) apart() time.Duration { return max(leastApart, s.Beliefs.Lead/mostPromises) }

// promise remembers the forecast of this moment until it falls due.
func (s *State) promise(p *policy.Policy, o *outlook) {
	due := s.Now.Add(o.work.Lead).UnixMicro()
	if n := len(s.Promises); n > 0 && due-s.Promises[n-1].Due < s.apart().Microseconds() {
		return
	}
	keep := s.Promises[max(0, len(s.Promises)-mostPromises+1):]
	next := append(make([]Promise, 0, len(keep)+1), keep...)
	s.Promises = append(next, Promise{
		Due: due, Sized: s.largest(p, o.unmargined), Level: o.work.Demand, Rise: max(0, o.rise),
	})
}

func validatePromises(in []Promise, now time.Time) error {
	if len(in) > mostPromises {
		return fmt.Errorf("promises are %d: at most %d are kept", len(in), mostPromises)
	}
	for i, x := range in {
		if !plausible(x.Sized, x.Level, x.Rise) || i > 0 && x.Due < in[i-1].Due || x.Due > now.Add(farthest).UnixMicro() {
			return fmt.Errorf("promises[%d] is out of order or holds numbers that no fleet has", i)
		}
	}
	return nil
}

// farthest is further ahead than any policy lets a lead time be.
const farthest = 24 * time.Hour
