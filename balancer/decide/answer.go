package decide

import (
	"fmt"
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/hpa"
	"github.com/tidegate/tidegate/internal/load"
)

// An HPA without a tolerance of 0 answers the pods that exist while the count that it is served is within a tenth of them,
// so that most steps of a fleet of ten and more are dead. A step that must land is then served wider, as the nearest count
// outside the tolerance, and as it is once it has landed. Desired stays what was decided.

// asking is how a decided count is put to the HPA.
type asking struct {
	// answer is served instead of the decided count; 0 is that count itself.
	answer int
	// words say why; empty where the HPA acts on every count.
	words string
	// lasts says that the answer depends on nothing that may change.
	lasts bool
	// keeps says that the HPA will keep all pods though fewer were decided: none of them has to be emptied.
	keeps bool
}

// ask puts a count to the HPA. Facts that may be over give no answer: a wider step may have landed, and a shadow's count may
// not be the one that is asked for any more.
func ask(c *circumstances, desired int, cluster *load.Cluster) asking {
	if cluster == nil {
		return asking{}
	}
	a := c.ask(desired, cluster)
	if cluster.Stale && a.answer > 0 {
		return asking{keeps: true, words: "the API server is not heard, so that no other count is served"}
	}
	return a
}

func (c *circumstances) ask(desired int, cluster *load.Cluster) asking {
	switch {
	case c.p.Mode == policy.Shadow && cluster.HPA.Found:
		return shadow(cluster)
	case cluster.Kept != "" && (desired <= cluster.Status || !cluster.HPA.Found):
		return asking{keeps: true, words: cluster.Kept}
	case !cluster.HPA.Found || desired == cluster.Status:
		return asking{}
	}
	return c.land(desired, cluster)
}

// land serves a step so that the HPA takes it.
func (c *circumstances) land(desired int, cluster *load.Cluster) asking {
	b := bandOf(cluster.HPA)
	if !b.dead(cluster.Status, desired) {
		return asking{}
	}
	if desired > cluster.Status {
		return c.wider(b, cluster)
	}
	return c.narrower(b, cluster)
}

// shadow serves what is asked for already, so that nothing changes: never the pods that exist, of which a rollout has more.
// Where other triggers decide, one is the count that is in nobody's way, and that for as long as the decision stands.
//
// Where no other trigger does, no count is safe from a hand that scales out within the second before the HPA looks: it would be
// taken back. Only an HPA that may not scale in (paused-scale-in, or behavior.scaleDown.selectPolicy Disabled) is.
func shadow(cluster *load.Cluster) asking {
	if cluster.Shared {
		return asking{answer: 1, lasts: true, words: "shadow mode serves 1, so that the other triggers decide"}
	}
	return asking{answer: cluster.Spec, words: fmt.Sprintf("shadow mode serves the %d that are asked for already", cluster.Spec)}
}

// wider puts a step out. It may overshoot: what is too much leaves again like everything else.
func (c *circumstances) wider(b band, cluster *load.Cluster) asking {
	answer := b.above(cluster.Status)
	if answer > c.p.MaxReplicas && cluster.HPA.Max > c.p.MaxReplicas {
		return asking{words: fmt.Sprintf("the HPA has no tolerance of 0 and ignores the step from %d, and maxReplicas forbids to serve the %d that would land",
			cluster.Status, answer)}
	}
	return served(answer)
}

// narrower puts a step in. The HPA must be bound to take one pod at a time, or it would take all of the wider step; and this
// leader must know how many pods there are from the nodes themselves too, or it would go on to serve the wider step after it
// has landed.
func (c *circumstances) narrower(b band, cluster *load.Cluster) asking {
	const held = "the HPA has no tolerance of 0 and keeps %d pods"
	switch answer := b.below(cluster.Status); {
	case cluster.HPA.InByOne < leastByOne:
		return asking{keeps: true, words: fmt.Sprintf(held+": give behavior.scaleDown.tolerance \"0\", or on an older cluster policies of Pods 1 in %s, with which wider steps can be served",
			cluster.Status, leastByOne)}
	case answer < c.p.MinReplicas && cluster.HPA.Min < c.p.MinReplicas:
		return asking{keeps: true, words: fmt.Sprintf(held+", and minReplicas forbids to serve the %d that would land", cluster.Status, answer)}
	case c.grownLately():
		return asking{keeps: true, words: fmt.Sprintf(held+"; what is too much may go %s after the last step out", cluster.Status, c.p.ScaleInDelay)}
	case c.now.Sub(c.memory.AskedMore) < cluster.HPA.InByOne+lookSlack:
		return asking{keeps: true, words: fmt.Sprintf(held+"; it would take as many as came in the last %s at once", cluster.Status, cluster.HPA.InByOne)}
	case cluster.Rolling || cluster.Spec != cluster.Status || c.r.alive != cluster.Status || c.coming() > 0 || c.r.in.Stale > 0 || c.backwards:
		return asking{words: fmt.Sprintf(held+" until all of them are known to serve", cluster.Status)}
	default:
		return served(answer)
	}
}

// grownLately says that the last step went out and is younger than the scale-in delay: what a wider step brought too much
// will soon be needed if the load goes on to grow.
func (c *circumstances) grownLately() bool {
	out := c.memory.LastOut
	return !out.IsZero() && !c.memory.LastIn.After(out) && c.now.Sub(out) < c.p.ScaleInDelay
}

func served(answer int) asking {
	return asking{answer: answer, words: fmt.Sprintf("the HPA has no tolerance: served %d so that the step lands", answer)}
}

// leastByOne is the least time in which the HPA may take a second pod for a wider step in to be safe: this leader has long
// seen the first one go by then.
const leastByOne = 15 * time.Second

// lookSlack is what a leader may learn late of the HPA's steps: its limit is net of the pods that came within its period.
const lookSlack = 5 * time.Second

// rest is how many nodes will be left: all of them, where the HPA keeps them whatever was decided, and a rollout's surge,
// which leaves by the rollout's own order.
func (a asking) rest(c *circumstances, desired int, cluster *load.Cluster) int {
	if a.keeps {
		return max(desired, c.r.alive)
	}
	if cluster != nil && cluster.Rolling {
		return desired + max(0, cluster.Status-cluster.Spec-c.r.pending)
	}
	return desired
}

// band is what an HPA does not act on.
type band struct{ spec hpa.Spec }

func bandOf(a load.Autoscaler) band {
	up, down := a.Tolerances()
	return band{hpa.Spec{Up: hpa.Rules{Tolerance: up}, Down: hpa.Rules{Tolerance: down}}}
}

// targets are those that the scaler serves: plain, and toggled to make the HPA look.
var targets = [...]hpa.Milli{1000, 1001}

// dead says that serving the count would leave the pods as they are, at one target or the other.
func (b band) dead(pods, count int) bool {
	for _, target := range targets {
		if _, tolerated := hpa.OfMetric(b.spec, pods, hpa.Metric{Value: hpa.Milli(count) * 1000, Target: target}); tolerated {
			return true
		}
	}
	return false
}

// above is the least count out that is not dead; floor(1.1 N) + 1 at a tenth, and one more where the toggle matters.
func (b band) above(pods int) int {
	count := int(math.Floor(float64(pods)*(1+b.spec.Up.Tolerance))) + 1
	for b.dead(pods, count) {
		count++
	}
	return count
}

// below is the largest count in that is not dead; ceil(0.9 N) - 1 at a tenth.
func (b band) below(pods int) int {
	count := int(math.Ceil(float64(pods)*(1-b.spec.Down.Tolerance))) - 1
	for count > 0 && b.dead(pods, count) {
		count--
	}
	return max(count, 0)
}
