package policy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

func TestAPolicyFileIsReadOverTheBase(t *testing.T) {
	t.Parallel()
	base := policy.Default()
	base.MaxReplicas = 20
	got, err := policy.Load(strings.NewReader(`{"margin": 1.2, "scaleInStep": "45s", "policy": "table", "urgencyCriticalCPU": 0.8, "tableMostStep": 4, "learnMargin": false}`), base)
	if err != nil {
		t.Fatal(err)
	}
	want := base
	want.Margin, want.ScaleInStep, want.Kind = 1.2, 45*time.Second, policy.Table
	want.Urgency.CriticalCPU, want.Steps.Most = 0.8, 4
	want.Learn.Margin = false
	if got != want {
		t.Fatalf("read %+v\nwant %+v", got, want)
	}
	got, err = got.With(map[string]string{"minReplicas": "5"})
	if err != nil || got.MinReplicas != 5 || got.Margin != 1.2 || got.MaxReplicas != 20 {
		t.Fatalf("a trigger over the file gave %+v, %v", got, err)
	}
}

func TestAWrongPolicyFileIsRefusedInWords(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, want string }{
		"empty":              {"", "is not JSON"},
		"not an object":      {"[1]", "write one JSON object"},
		"null":               {"null", "write one JSON object"},
		"cut short":          {`{"margin": 1.1`, "no closing brace"},
		"a bad value":        {`{"margin": oops}`, `"margin"`},
		"something after":    {`{} {}`, "goes on after its object"},
		"a key twice":        {`{"margin": 1.1, "margin": 1.2}`, `"margin" twice`},
		"an unknown key":     {`{"margni": 1.1}`, "did you mean margin?"},
		"the fleet":          {`{"fleet": "chat"}`, "trigger's metadata"},
		"a number in quotes": {`{"margin": "1.1"}`, "without quotes"},
		"a bare duration":    {`{"scaleInStep": 30}`, "write it in quotes"},
		"a null":             {`{"scaleInStep": null}`, "write it in quotes"},
		"no unit":            {`{"scaleInStep": "30"}`, "write 30s"},
		"out of range":       {`{"margin": 0.5}`, "outside 1 to 5"},
		"a huge number":      {`{"margin": 1e309}`, "not a finite number"},
		"a broken count":     {`{"minReplicas": 2.5}`, "not a whole number"},
		"a contradiction":    {`{"minReplicas": 60}`, "above maxReplicas 50"},
		"a switch in quotes": {`{"learnMargin": "true"}`, "true or false without quotes"},
		"a switch of 1":      {`{"learnMargin": 1}`, "neither on nor off"},
		"a list":             {`{"margin": [1]}`, "not a number"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := policy.Load(strings.NewReader(c.text), policy.Default())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v does not say %q", err, c.want)
			}
			if got != policy.Default() {
				t.Fatal("a refused file changed the policy")
			}
		})
	}
}

func TestAPolicyIsWrittenAsAFileReadsIt(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Margin, p.SlopeLong, p.Mode, p.Learn.Trend = 1.0/3+1, 7*time.Minute, policy.Shadow, false
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Load(strings.NewReader(string(body)), policy.Default())
	if err != nil || again != p {
		t.Fatalf("%s reads as %+v, %v", body, again, err)
	}
}
