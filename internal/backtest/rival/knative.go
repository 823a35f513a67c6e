package rival

import (
	"math"

	"github.com/tidegate/tidegate/internal/backtest/world"
)

const (
	// kpaTick is how often Knative's autoscaler looks, kpaStable and kpaPanic its windows, in seconds.
	kpaTick, kpaStable, kpaPanic = 2, 60, 6
	// kpaThreshold is how far the panic window must be above what is ready for a panic.
	kpaThreshold = 2.0
	// kpaUp and kpaDown are how many times more or fewer pods a look may ask for.
	kpaUp, kpaDown = 1000.0, 2.0
)

// Knative is the KPA on connections, with its defaults.
type Knative struct {
	targets Targets
	// window holds the connections of the last seconds.
	window   [kpaStable]float64
	seen     int
	asked    int
	panicked int
	most     int
}

// NewKnative is Knative's autoscaler.
func NewKnative(t Targets) *Knative { return &Knative{targets: t, panicked: -kpaStable * 1000} }

// Order looks every tick.
func (k *Knative) Order(w *world.World) world.Order {
	k.window[k.seen%kpaStable] = w.Connected()
	k.seen++
	if w.Now()%kpaTick == 0 {
		k.look(w.Now(), w.Serving())
	}
	return standing(w, k.asked)
}

// look is one look of the KPA.
func (k *Knative) look(now, ready int) {
	serving := math.Max(1, float64(ready))
	up, down := math.Ceil(kpaUp*serving), math.Floor(serving/kpaDown)
	bound := func(want float64) int { return int(min(max(want, down), up)) }
	rawPanic := math.Ceil(k.mean(kpaPanic) / k.targets.Connections)
	stable, hurried := bound(math.Ceil(k.mean(kpaStable)/k.targets.Connections)), bound(rawPanic)
	inPanic := now-k.panicked < kpaStable
	switch over := rawPanic/serving >= kpaThreshold; {
	case over:
		if !inPanic {
			k.most = 0
		}
		k.panicked, inPanic = now, true
	}
	want := stable
	if inPanic {
		// In a panic nothing scales in.
		k.most = max(k.most, hurried, stable, ready)
		want = k.most
	}
	k.asked = min(max(want, k.targets.Min), k.targets.Max)
}

// mean is the mean of the last seconds.
func (k *Knative) mean(seconds int) float64 {
	n := min(seconds, k.seen)
	sum := 0.0
	for i := range n {
		sum += k.window[(k.seen-1-i)%kpaStable]
	}
	return sum / float64(max(1, n))
}
