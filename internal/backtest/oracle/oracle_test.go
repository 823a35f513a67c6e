package oracle_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/backtest/oracle"
	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/backtest/world"
)

// steps is a trace that holds each count of pods' worth of clients for some seconds.
func steps(counts ...float64) trace.Trace {
	t := trace.Trace{Name: "steps", Kind: trace.Regular, Step: time.Second}
	for _, c := range counts {
		for range 200 {
			t.Clients = append(t.Clients, c*world.Usual().Carries(oracle.Ceiling))
		}
	}
	return t
}

func TestTheOracleHasPodsReadyWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	x := steps(3.5, 9.5, 3.5)
	plan := oracle.Of(world.Usual(), &x, 1, 2)
	lead := int(world.Usual().MeanStart() / time.Second)
	if lead < 20 || lead > 30 {
		t.Fatalf("a pod starts in %d s on the mean", lead)
	}
	at := 201
	if plan.Pods[at-lead-2] > 5 || plan.Pods[at-lead] < 10 || plan.Pods[at] < 10 {
		t.Errorf("pods before the rise: %v, want them from %d s before it", plan.Pods[at-lead-3:at+1], lead)
	}
	if plan.Pods[404+40] > 5 {
		t.Errorf("%d pods stay after the fall", plan.Pods[404+40])
	}
}

func TestAPodIsKeptThroughALullThatIsShorterThanItsStart(t *testing.T) {
	t.Parallel()
	x := steps(9.5)
	for i := 100; i < 110; i++ {
		x.Clients[i] = 1
	}
	plan := oracle.Of(world.Usual(), &x, 1, 2)
	if plan.Need[105] != 2 || plan.Pods[105] < 10 {
		t.Errorf("need %d, pods %d: a pod that is sent away for 10 s is not there afterwards", plan.Need[105], plan.Pods[105])
	}
}

// The oracle is never bad, and nobody who is never bad has fewer pods for long.
func TestTheOracleCarriesEverySecondAndWastesNone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name, seed := rapid.SampledFrom(trace.Names()[1:]).Draw(t, "trace"), rapid.Uint64().Draw(t, "seed")
		x, err := trace.Synthetic(name, seed)
		if err != nil {
			t.Fatal(err)
		}
		least := rapid.IntRange(1, 4).Draw(t, "min")
		plan, p := oracle.Of(world.Usual(), &x, seed, least), world.Usual()
		lead := int(p.MeanStart() / time.Second)
		sum := 0.0
		for s := range plan.Pods {
			sum += float64(plan.Pods[s])
			clients, _ := x.At(s)
			cpu := p.CPUBase + clients*p.CPUClient/float64(plan.Pods[s])
			memory := p.MemoryBase + clients*p.MemoryClient/float64(plan.Pods[s])
			if cpu > oracle.Ceiling || memory > oracle.Ceiling || plan.Pods[s] < plan.Need[s] || int(plan.Need[s]) < least {
				t.Fatalf("%s at %d s: %d pods for a need of %d", name, s, plan.Pods[s], plan.Need[s])
			}
			// A pod that exists is needed now, or before one made now could serve.
			most := plan.Need[s]
			for _, need := range plan.Need[s:min(len(plan.Need), s+lead+1)] {
				most = max(most, need)
			}
			if s%17 == 0 && plan.Pods[s] != most {
				t.Fatalf("%s at %d s: %d pods, %d are enough", name, s, plan.Pods[s], most)
			}
		}
		if sum != plan.PodSeconds {
			t.Fatalf("%v pod-seconds, told %v", sum, plan.PodSeconds)
		}
	})
}
