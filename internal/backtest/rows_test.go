package backtest

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/backtest/world"
)

func rulesOf(t *testing.T, o Options) policy.Policy {
	t.Helper()
	o, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	return o.rules
}

func TestAnAblationTakesAwayOneThing(t *testing.T) {
	t.Parallel()
	whole := rulesOf(t, Options{})
	off := map[string]func(p policy.Policy) bool{
		"learning": func(p policy.Policy) bool { return !p.Learn.Capacity },
		"trend":    func(p policy.Policy) bool { return !p.Learn.Trend },
		"margin":   func(p policy.Policy) bool { return !p.Learn.Margin },
		"weights":  func(p policy.Policy) bool { return p.Placement.WeightSpread == 0 },
		"moves":    func(p policy.Policy) bool { return p.Placement.HotspotRate == 0 },
		"storm":    func(p policy.Policy) bool { return !p.Storm.Guard },
	}
	for _, name := range Ablations() {
		taken := rulesOf(t, Options{Ablate: []string{name}})
		for other, gone := range off {
			if gone(whole) || gone(taken) != (other == name) {
				t.Errorf("without %s: %s is off: %v", name, other, gone(taken))
			}
		}
	}
	if rulesOf(t, Options{Ablate: []string{"trend", "margin"}}).Learn.Trend {
		t.Error("the first of two ablations was forgotten")
	}
}

func TestThePolicyFitsTheWorld(t *testing.T) {
	t.Parallel()
	usual := world.Usual()
	fitted := rulesOf(t, Options{PeakClients: 400_000})
	if carried := fitted.ConnectionsPerPod; carried < usual.Carries(0.85) || carried > usual.Carries(0.89) {
		t.Errorf("%v connections a pod are declared: a pod at its ceiling carries %v", carried, usual.Carries(fitted.CPUCeiling))
	}
	if float64(fitted.MaxReplicas)*usual.Carries(0.8) < 2*400_000 {
		t.Errorf("at most %d pods for 400,000 clients: the bound would decide, not the policies", fitted.MaxReplicas)
	}
	if wrong := rulesOf(t, Options{DeclaredCapacity: 1.3}).ConnectionsPerPod / rulesOf(t, Options{}).ConnectionsPerPod; wrong < 1.29 || wrong > 1.31 {
		t.Errorf("capacity 30 %% too high is declared as %v times the real one", wrong)
	}
}

func TestAUsersChangeIsMadeToTheFittedPolicy(t *testing.T) {
	t.Parallel()
	o := Options{Change: func(p policy.Policy) (policy.Policy, error) {
		return policy.Load(strings.NewReader(`{"cpuCeiling": 0.7}`), p)
	}, Ablate: []string{"storm"}}
	if p := rulesOf(t, o); p.CPUCeiling != 0.7 || p.ConnectionsPerPod == 0 || p.Storm.Guard {
		t.Errorf("ceiling %v, %v connections a pod, storm guard %v", p.CPUCeiling, p.ConnectionsPerPod, p.Storm.Guard)
	}
	rivals := o
	rivals.rules = rulesOf(t, o)
	rivals.DeclaredCapacity = 1
	if got := rivals.targets().Connections; got < 3300 || got > 3700 {
		t.Errorf("KEDA aims at %v connections a pod: our change must not change the rivals", got)
	}
}
