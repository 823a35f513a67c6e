package policy_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

func TestEveryFieldIsDocumentedAndBounded(t *testing.T) {
	t.Parallel()
	fields := countFields(reflect.TypeFor[policy.Policy]())
	reference := policy.Reference()
	if len(reference) != fields {
		t.Fatalf("the reference lists %d settings, the struct has %d fields", len(reference), fields)
	}
	seen := map[string]bool{}
	for _, s := range reference {
		if s.Name == "" || s.Help == "" || s.Accepts == "" || strings.HasPrefix(s.Accepts, " ") {
			t.Errorf("setting %+v lacks a name, a help or a range", s)
		}
		if seen[s.Name] {
			t.Errorf("%s names two settings", s.Name)
		}
		seen[s.Name] = true
		if s.Default == "" && s.Name != "fleet" {
			t.Errorf("%s has no default", s.Name)
		}
	}
}

func countFields(of reflect.Type) int {
	n := 0
	for i := range of.NumField() {
		if inner := of.Field(i).Type; inner.Kind() == reflect.Struct {
			n += countFields(inner)
			continue
		}
		n++
	}
	return n
}

// TestNoNumberEscapesItsRange sets every number of a policy to what must never be decided with.
func TestNoNumberEscapesItsRange(t *testing.T) {
	t.Parallel()
	var walk func(path string, p *policy.Policy, v reflect.Value)
	walk = func(path string, p *policy.Policy, v reflect.Value) {
		for i := range v.NumField() {
			field, name := v.Field(i), path+v.Type().Field(i).Name
			before := reflect.New(field.Type()).Elem()
			before.Set(field)
			switch field.Kind() {
			case reflect.Struct:
				walk(name+".", p, field)
				continue
			case reflect.Float64:
				for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
					field.SetFloat(bad)
					refuse(t, name, p)
				}
			case reflect.Bool:
				// Either is a meaning.
				continue
			case reflect.Int, reflect.Int64:
				for _, bad := range []int64{-1, math.MinInt64, math.MaxInt64} {
					field.SetInt(bad)
					refuse(t, name, p)
				}
			default:
				field.SetString("no such WORD")
				refuse(t, name, p)
			}
			field.Set(before)
		}
	}
	p := policy.Default()
	walk("", &p, reflect.ValueOf(&p).Elem())
	if p != policy.Default() {
		t.Fatal("the test did not restore the policy")
	}
}

func refuse(t *testing.T, name string, p *policy.Policy) {
	t.Helper()
	if p.Validate() == nil {
		t.Errorf("%s: the value is accepted, and a fleet would be sized by it", name)
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*policy.Policy)
		field  string
	}{
		"fewer at most than at least":              {func(p *policy.Policy) { p.MaxReplicas = 1 }, "minReplicas"},
		"a base above the ceiling":                 {func(p *policy.Policy) { p.MemoryBase = 0.85 }, "memoryBase"},
		"a base at the ceiling":                    {func(p *policy.Policy) { p.CPUBase = 0.87 }, "cpuBase"},
		"a level longer than the trend":            {func(p *policy.Policy) { p.LevelWindow = 2 * time.Minute }, "levelWindow"},
		"a quick trend longer than the slow":       {func(p *policy.Policy) { p.SlopeLong = 30 * time.Second }, "slopeShortWindow"},
		"a start longer than its timeout":          {func(p *policy.Policy) { p.StartTime = time.Hour }, "startTime"},
		"heartbeats slower than a decision's life": {func(p *policy.Policy) { p.HeartbeatInterval = 30 * time.Second }, "heartbeatInterval"},
		"a table that flaps":                       {func(p *policy.Policy) { p.Steps.StaysCPU = 0.7 }, "tableStaysCPU"},
		"a least margin above the largest":         {func(p *policy.Policy) { p.Learn.MarginLeast = 2 }, "marginLeast"},
		"a hysteresis that eats itself":            {func(p *policy.Policy) { p.Hysteresis, p.Settle.Hysteresis = 0.2, 0.2 }, "scaleInSpare"},
		"growth limits the wrong way round":        {func(p *policy.Policy) { p.Steps.GrowthSlow = 2 }, "tableGrowthSlow"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy.Default()
			c.change(&p)
			err := p.Validate()
			if err == nil || !strings.HasPrefix(err.Error(), c.field+" ") {
				t.Fatalf("error %v does not begin with %s", err, c.field)
			}
		})
	}
}

func TestTheBudgetIsAnEighthOfTheFleetAndAtLeastOne(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	for nodes, want := range map[int]int{0: 1, 1: 1, 15: 1, 16: 2, 80: 10} {
		if got := p.Budget(nodes); got != want {
			t.Errorf("of %d nodes %d may leave at once, want %d", nodes, got, want)
		}
	}
	p.DisruptionBudget = 3
	if got := p.Budget(100); got != 3 {
		t.Errorf("the stated budget of 3 became %d", got)
	}
	p.Kind = policy.Table
	if got := p.Budget(100); got != 1 {
		t.Errorf("table mode lets %d nodes leave at once, want one", got)
	}
}

func TestDerivedTimes(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	if p.LeadTime() != 45*time.Second || p.StaleAfter() != 3*time.Second {
		t.Fatalf("lead time %s, stale after %s: want 45s and 3s", p.LeadTime(), p.StaleAfter())
	}
}

func TestAPolicyWithShortWindowsForADemoIsValid(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.ScaleInDelay, p.ScaleInStep = 8*time.Second, 3*time.Second
	p.LevelWindow, p.SlopeShort, p.SlopeLong = 3*time.Second, 10*time.Second, 40*time.Second
	p.HPAPeriod, p.StartTime, p.StartTimeout = 2*time.Second, 2*time.Second, 30*time.Second
	p.DecisionTTL = 20 * time.Second
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestAHotspotsLimitIsBelowTheAdmissions(t *testing.T) {
	t.Parallel()
	const collector, own = 0.9, 0.95 // what a node's garbage collector aims at, and where a node refuses all by itself
	if p := policy.Default().Placement; p.AdmissionMemory <= collector || p.AdmissionMemory >= own {
		t.Errorf("newcomers are refused above %v memory: a fleet at rest is at %v", p.AdmissionMemory, collector)
	}
	for field, change := range map[string]func(*policy.Placement){
		"hotspotCPU":    func(p *policy.Placement) { p.HotspotCPU = p.AdmissionCPU },
		"hotspotMemory": func(p *policy.Placement) { p.HotspotMemory = p.AdmissionMemory - 0.01 },
	} {
		p := policy.Default()
		change(&p.Placement)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v: a node that its own limit holds would never be hot", field, err)
		}
		p.Placement.AdmissionCPU, p.Placement.AdmissionMemory = 0, 0
		if err := p.Validate(); err != nil {
			t.Errorf("%s without limits: %v", field, err)
		}
	}
}
