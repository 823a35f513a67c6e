package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
)

// note says the decision in one sentence with the figures it was made from. Words tell of an HPA that would not act on it.
func note(c *circumstances, d *decision.Decision, words string) string {
	parts := []string{move(c, d) + ": " + ground(c, d)}
	for _, more := range []string{limitWords(c, d), words} {
		if more != "" {
			parts = append(parts, more)
		}
	}
	if len(d.Victims) > 0 {
		parts = append(parts, leavers(d))
	}
	if d.Inputs.Stuck > 0 {
		parts = append(parts, fmt.Sprintf("%d never got to serve", d.Inputs.Stuck))
	}
	return strings.Join(parts, "; ") + "."
}

// move says which way the count goes.
func move(c *circumstances, d *decision.Decision) string {
	switch current := c.current(); {
	case !c.memory.Decided:
		return fmt.Sprintf("First answer %d nodes", d.Desired)
	case d.Desired > current:
		return fmt.Sprintf("From %d out to %d nodes", current, d.Desired)
	case d.Desired < current:
		return fmt.Sprintf("From %d in to %d nodes", current, d.Desired)
	default:
		return fmt.Sprintf("Stay at %d nodes", d.Desired)
	}
}

// ground gives the figures that the rule looked at.
func ground(c *circumstances, d *decision.Decision) string {
	in, w := d.Inputs, d.Working
	if c.p.Kind == policy.Table {
		return fmt.Sprintf("urgency %d (%s) with %d serving at CPU %.2f, memory %.2f, p95 %s, lag %s",
			d.Urgency, c.cause, in.Serving, in.CPU, in.Memory, round(in.P95Latency), round(in.InboxLag))
	}
	text := fmt.Sprintf("%.0f clients now, %.0f expected in %s, with margin %.2f %s", w.Demand, w.Forecast, w.Lead, w.Margin, need(c))
	if d.Urgency > decision.Balanced {
		text += fmt.Sprintf(", urgency %d (%s)", d.Urgency, c.cause)
	}
	if c.memory.Decided && d.Desired < c.current() {
		text += fmt.Sprintf(", and never more than %.1f in the last %s", c.lately(), c.p.ScaleInDelay)
	}
	return text
}

func need(c *circumstances) string {
	if c.look.need == 0 {
		return "nothing asks for a node"
	}
	return fmt.Sprintf("%s need %.1f nodes", c.look.from, c.look.need)
}

// limitWords explains what kept the count from the wanted one.
func limitWords(c *circumstances, d *decision.Decision) string {
	switch d.LimitedBy {
	case decision.LimitMin:
		return fmt.Sprintf("minReplicas is %d", c.p.MinReplicas)
	case decision.LimitMax:
		return fmt.Sprintf("maxReplicas is %d", c.p.MaxReplicas)
	case decision.LimitStarting:
		return fmt.Sprintf("%d still starting", c.coming())
	case decision.LimitStale:
		return fmt.Sprintf("nothing leaves while %d heartbeats are stale, the clock steps back or the API server is not heard", d.Inputs.Stale)
	case decision.LimitPaused:
		return "nothing leaves while scaling in is paused"
	case decision.LimitBudget:
		return fmt.Sprintf("the disruption budget is %d, %d leave or drain", c.p.Budget(min(c.r.alive, c.current())), d.Inputs.Draining+max(d.Inputs.Leaving, c.excess()))
	case decision.LimitDelay:
		return fmt.Sprintf("nothing leaves before %s of quiet", c.p.ScaleInDelay)
	case decision.LimitStep:
		return fmt.Sprintf("one step in every %s", c.p.ScaleInStep)
	case decision.LimitHeadroom:
		return c.roomWords()
	case decision.LimitStorm:
		return fmt.Sprintf("clients fell by more than %.0f %% within %s, which is an outage and no quiet: nothing leaves before %s",
			100*c.p.Storm.Fall, c.p.Storm.Window, c.memory.Storm.Until.Format(time.TimeOnly))
	case decision.LimitRising:
		return fmt.Sprintf("clients are on the rise: what would leave is needed again within %s", c.p.Settle.Worth)
	case decision.LimitTableWait:
		return fmt.Sprintf("steps wait %s out, %s in", c.p.Steps.OutWait, c.p.Steps.InWait)
	default:
		return ""
	}
}

// dear is the regret from which on it is said.
const dear = 0.1

func (c *circumstances) roomWords() string {
	text := "one fewer could not carry it"
	if c.regret > dear {
		text += " with the room that is asked for, because nodes that left lately were soon needed again"
	}
	return text
}

// namedLeavers is how many victims a sentence can hold.
const namedLeavers = 3

func leavers(d *decision.Decision) string {
	names := make([]string, 0, namedLeavers)
	for _, id := range d.Victims[:min(namedLeavers, len(d.Victims))] {
		names = append(names, string(id))
	}
	text := strings.Join(names, ", ")
	if more := len(d.Victims) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + " to leave"
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
