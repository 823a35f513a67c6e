package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/balancer/policy"
)

// FuzzParse reads "key=value" lines as metadata. A policy that is returned without an error is valid and survives being
// written and read again; an error names a key that was written, or its partner in a contradiction.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "fleet=chat\npolicy=table\nmode=shadow", "minReplicas=3\nmaxReplicas=2", "cpuCeiling=70%\nscaleInDelay=300",
		"connectionsPerPod=1e309\nmessagesPerPod=0x1p4", "disruptionBudget=-0\nmemoryCeiling=.5", "scaleInDelay=1h2m3.5s", "metricType=Value\nxFromEnv=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		metadata := map[string]string{}
		for line := range strings.SplitSeq(text, "\n") {
			key, value, _ := strings.Cut(line, "=")
			metadata[key] = value
		}
		p, err := policy.Parse(metadata)
		if err != nil {
			var field *policy.FieldError
			if !errors.As(err, &field) || field.Problem == "" || field.Fix == "" {
				t.Fatalf("the error says neither what nor how: %v", err)
			}
			if _, written := metadata[field.Field]; !written && field.Field != "minReplicas" {
				t.Fatalf("the error blames %q, which nobody wrote: %v", field.Field, err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("%q was accepted but is not valid: %v", text, err)
		}
		again, err := policy.Parse(p.Metadata())
		if err != nil || again != p {
			t.Fatalf("%v was rendered from %+v and reads as %+v, %v", p.Metadata(), p, again, err)
		}
	})
}

// FuzzLoad reads a policy file. What is accepted is valid and survives being written and read again.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"{}", `{"margin":1.1}`, `{"scaleInStep":"30s","tableMostStep":5}`, `{"margin":1,"margin":2}`, `[`, `{"policy":"table"} `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Load(bytes.NewReader(text), policy.Default())
		if err != nil {
			if p != policy.Default() {
				t.Fatal("a refused file changed the policy")
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("%q was accepted but is not valid: %v", text, err)
		}
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := policy.Load(bytes.NewReader(body), policy.Default()); err != nil || again != p {
			t.Fatalf("%s reads as %+v, %v", body, again, err)
		}
	})
}
