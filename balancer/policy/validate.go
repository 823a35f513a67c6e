package policy

import (
	"errors"
	"fmt"
)

// Validate reports every setting outside its range and every two that contradict each other.
// A policy that Parse or Load returned without an error is valid.
func (p Policy) Validate() error {
	var problems []error
	failed := map[string]bool{}
	for _, s := range settings(&p) {
		if err := s.check(s.text()); err != nil {
			problems = append(problems, err)
			failed[s.name] = true
		}
	}
	return errors.Join(append(problems, crossCheck(p, failed)...)...)
}

// rule is a relation between two settings; holds says that it is kept.
type rule struct {
	field, other string
	holds        bool
	value, bound any
	problem, fix string
}

// crossCheck reports settings that contradict each other, except where one of them is already known to be wrong.
func crossCheck(p Policy, failed map[string]bool) []error {
	u, t := p.Urgency, p.Steps
	rules := []rule{
		{"minReplicas", "maxReplicas", p.MinReplicas <= p.MaxReplicas, p.MinReplicas, p.MaxReplicas, "is above", "raise maxReplicas or lower minReplicas"},
		{"cpuBase", "cpuCeiling", p.CPUBase < p.CPUCeiling, p.CPUBase, p.CPUCeiling, "is not below", "lower the base or raise the ceiling"},
		{"memoryBase", "memoryCeiling", p.MemoryBase < p.MemoryCeiling, p.MemoryBase, p.MemoryCeiling, "is not below", "lower the base or raise the ceiling"},
		{"levelWindow", "slopeShortWindow", p.LevelWindow <= p.SlopeShort, p.LevelWindow, p.SlopeShort, "is above", "shorten the level's window"},
		{"slopeShortWindow", "slopeLongWindow", p.SlopeShort <= p.SlopeLong, p.SlopeShort, p.SlopeLong, "is above", "lengthen the long window"},
		{"startTime", "startTimeout", p.StartTime <= p.StartTimeout, p.StartTime, p.StartTimeout, "is above", "raise the timeout"},
		{"heartbeatInterval", "decisionTTL", p.StaleAfter() < p.DecisionTTL, p.HeartbeatInterval, p.DecisionTTL, "times staleHeartbeats is not below", "lower the interval or raise the TTL"},
		{"marginLeast", "marginMost", p.Learn.MarginLeast <= p.Learn.MarginMost, p.Learn.MarginLeast, p.Learn.MarginMost, "is above", "lower the least or raise the most"},
		{"scaleInSpare", "hysteresis", p.Settle.Hysteresis < p.Hysteresis, p.Settle.Hysteresis, p.Hysteresis, "is not below", "lower it, or no node would ever leave"},
		{"tableQuietCPU", "tableStaysCPU", t.QuietCPU <= t.StaysCPU, t.QuietCPU, t.StaysCPU, "is above", "lower the quiet limit"},
		{"tableQuietMemory", "tableStaysMemory", t.QuietMemory <= t.StaysMemory, t.QuietMemory, t.StaysMemory, "is above", "lower the quiet limit"},
		{"tableStaysCPU", "urgencyCriticalCPU", t.StaysCPU < u.CriticalCPU, t.StaysCPU, u.CriticalCPU, "is not below", "lower it, or a scale-in would cause a scale-out"},
		{"tableStaysMemory", "urgencyCriticalMemory", t.StaysMemory < u.CriticalMemory, t.StaysMemory, u.CriticalMemory, "is not below", "lower it, or a scale-in would cause a scale-out"},
		{"tableGrowthSlow", "tableGrowthFast", t.GrowthSlow <= t.GrowthFast, t.GrowthSlow, t.GrowthFast, "is above", "lower the slow limit"},
	}
	var problems []error
	for _, r := range append(rules, p.Placement.rules()...) {
		if r.holds || failed[r.field] || failed[r.other] {
			continue
		}
		problems = append(problems, &FieldError{
			Field: r.field, Value: fmt.Sprint(r.value),
			Problem: fmt.Sprintf("%s %s %v", r.problem, r.other, r.bound), Fix: r.fix,
		})
	}
	return problems
}
