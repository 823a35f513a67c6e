package rival

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/backtest/world"
	"github.com/tidegate/tidegate/internal/hpa"
)

// The cases follow Kubernetes' own calcPlainMetricReplicas and GetResourceReplicas.
func TestUtilizationCountsPodsAsKubernetesDoes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		ready, unready, missing int
		cpu                     float64
		want                    float64
	}{
		"on target":                                     {10, 0, 0, 0.70, 10},
		"inside the tolerance":                          {10, 0, 0, 0.76, 10},
		"above it":                                      {10, 0, 0, 0.84, 12},
		"below it":                                      {10, 0, 0, 0.35, 5},
		"nobody is ready":                               {0, 4, 0, 0, 4},
		"pods that start dampen the way out":            {10, 2, 0, 0.84, 12},
		"pods that start are no reason to stay":         {10, 2, 0, 0.35, 5},
		"pods that start may be enough":                 {10, 10, 0, 0.84, 20},
		"pods without a metric count as idle when hot":  {10, 0, 2, 0.98, 81.0 / 70 * 12},
		"and as busy when the others are idle":          {10, 0, 2, 0.35, 45.0 / 70 * 12},
		"a part of a percent is none":                   {10, 0, 0, 0.9199, 91.0 / 70 * 10},
		"few that are hot among many that start: stays": {2, 8, 0, 0.98, 10},
	}
	for name, c := range cases {
		got := utilization(c.ready, c.unready, c.missing, c.cpu*float64(c.ready), 0.7)
		if diff := got - c.want; diff > 1e-9 || diff < -1e-9 {
			t.Errorf("%s: asks for %v pods, want %v", name, got, c.want)
		}
	}
}

func TestACPUCountPassesTheFormulaUnchanged(t *testing.T) {
	t.Parallel()
	s := defaults(Targets{Min: 1, Max: 100})
	for count, want := range map[float64]int{12: 12, 12.01: 13, 10: 10, 5: 10} {
		s.history = hpa.History{}
		if got := s.look(time.Unix(1000, 0), 10, 10, asCount(count)); got != want {
			t.Errorf("a CPU that asks for %v pods of 10 makes %d, want %d (stabilization keeps what there was)", count, got, want)
		}
	}
}

func fleetOf(tb testing.TB, pods int, name string, factor float64) *world.World {
	tb.Helper()
	x, err := trace.Synthetic(name, 1)
	if err != nil {
		tb.Fatal(err)
	}
	x = x.Times(factor)
	return world.New(world.Options{Physics: world.Usual(), Trace: &x, Seed: 1, Pods: pods})
}

// A cluster's CPU is old news: what happens now is seen a full period later at the earliest.
func TestTheHPASeesCPUOfThePast(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, 6, "ramp", 0.2)
	var s scrape
	for range 2 * resolution {
		w.Step(world.Order{Replicas: 6})
		s.observe(w)
	}
	before := s.cpu(w, 0.7)
	for range resolution - 1 {
		w.Step(world.Order{Replicas: 6})
		s.observe(w)
		if s.cpu(w, 0.7) != before {
			t.Fatalf("the metric changed at %d s, inside its period", w.Now())
		}
	}
}

func TestKEDACountsWhoIsConnectedAndNobodyElse(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, 1, "ramp", 0.5)
	for range 200 {
		w.Step(world.Order{Replicas: 1})
	}
	m := connections(w, 1000)
	if got := float64(m.Value) / 1000; got > w.Connected()+1 || w.Waiting() < 1000 {
		t.Errorf("KEDA sees %v connections: %v are connected, %v wait", got, w.Connected(), w.Waiting())
	}
}

func TestTheHPALooksEveryFifteenSeconds(t *testing.T) {
	t.Parallel()
	w := fleetOf(t, 2, "ramp", 0.3)
	k := NewKEDA(Targets{Min: 1, Max: 50, CPU: 0.7, Connections: 2000}, false)
	last := w.Spec()
	for range 300 {
		order := k.Order(w)
		if order.Replicas != last && w.Now()%syncPeriod != 0 {
			t.Fatalf("the count changed at %d s", w.Now())
		}
		last = order.Replicas
		w.Step(order)
	}
	if last <= 2 {
		t.Errorf("%d pods were asked for: the fleet needs more", last)
	}
}

func TestKnativePanicsAndForgets(t *testing.T) {
	t.Parallel()
	k := NewKnative(Targets{Min: 1, Max: 1000, Connections: 100})
	feed := func(seconds int, connections float64, ready int) {
		for range seconds {
			k.window[k.seen%kpaStable] = connections
			k.seen++
			if k.seen%kpaTick == 0 {
				k.look(k.seen, ready)
			}
		}
	}
	feed(120, 1000, 10)
	if k.asked != 10 {
		t.Fatalf("%d pods for a steady load of ten", k.asked)
	}
	feed(6, 3000, 10)
	if k.asked != 30 {
		t.Errorf("%d pods after six seconds of three times the load: the panic window asks for 30", k.asked)
	}
	feed(30, 500, 30)
	if k.asked != 30 {
		t.Errorf("%d pods: nothing scales in while a panic lasts", k.asked)
	}
	feed(120, 500, 30)
	if k.asked != 15 {
		t.Errorf("%d pods after the panic: at most half may go in one look", k.asked)
	}
	feed(10, 500, 15)
	if k.asked != 7 {
		t.Errorf("%d pods", k.asked)
	}
}
