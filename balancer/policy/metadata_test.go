package policy_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

// refused is the expectation that a value is an error; the text must occur in it.
type refused string

// badInput is the table of FAULTS.md: every trigger key against the ten classes. "missing" is the first column, tested as
// the default; "unknown" is a word nobody knows as the value, and unknown keys have a test of their own.
var badInput = map[string]map[string]any{
	"fleet": {
		"": refused("is empty"), "NaN": refused("lower-case"), "Inf": refused("lower-case"), "-1": refused("use lower-case letters"),
		"0": "0", "1e309": "1e309", "70%": refused("use lower-case letters"), "70": "70", "whatever": "whatever",
	},
	"policy": {
		"": refused("is empty"), "NaN": refused("count or table"), "Inf": refused("count or table"), "-1": refused("count or table"),
		"0": refused("count or table"), "1e309": refused("count or table"), "70%": refused("count or table"), "70": refused("count or table"), "whatever": refused("is unknown"),
	},
	"mode": {
		"": refused("is empty"), "NaN": refused("act or shadow"), "Inf": refused("act or shadow"), "-1": refused("act or shadow"),
		"0": refused("act or shadow"), "1e309": refused("act or shadow"), "70%": refused("act or shadow"), "70": refused("act or shadow"), "whatever": refused("is unknown"),
	},
	"minReplicas": {
		"": refused("is empty"), "NaN": refused("not a whole number"), "Inf": refused("not a whole number"), "-1": refused("outside 1 to 100000"),
		"0": refused("outside 1 to 100000"), "1e309": refused("not a whole number"), "70%": refused("not a whole number"), "70": refused("above maxReplicas 50"), "whatever": refused("not a whole number"),
	},
	"maxReplicas": {
		"": refused("is empty"), "NaN": refused("not a whole number"), "Inf": refused("not a whole number"), "-1": refused("outside 1 to 100000"),
		"0": refused("outside 1 to 100000"), "1e309": refused("not a whole number"), "70%": refused("not a whole number"), "70": 70, "whatever": refused("not a whole number"),
	},
	"connectionsPerPod": {
		"": refused("is empty"), "NaN": refused("not a finite number"), "Inf": refused("not a finite number"), "-1": refused("0 (unknown) or 1 to"),
		"0": 0.0, "1e309": refused("not a finite number"), "70%": refused("not a finite number"), "70": 70.0, "whatever": refused("not a finite number"),
	},
	"messagesPerPod": {
		"": refused("is empty"), "NaN": refused("not a finite number"), "Inf": refused("not a finite number"), "-1": refused("0 (unknown) or 1 to"),
		"0": 0.0, "1e309": refused("not a finite number"), "70%": refused("not a finite number"), "70": 70.0, "whatever": refused("not a finite number"),
	},
	"cpuCeiling": {
		"": refused("is empty"), "NaN": refused("not a finite number"), "Inf": refused("not a finite number"), "-1": refused("outside 0.05 to 1"),
		"0": refused("outside 0.05 to 1"), "1e309": refused("not a finite number"), "70%": refused("write the fraction 0.7"), "70": refused("write the fraction 0.7 if you mean percent"), "whatever": refused("not a finite number"),
	},
	"memoryCeiling": {
		"": refused("is empty"), "NaN": refused("not a finite number"), "Inf": refused("not a finite number"), "-1": refused("outside 0.05 to 1"),
		"0": refused("outside 0.05 to 1"), "1e309": refused("not a finite number"), "70%": refused("write the fraction 0.7"), "70": refused("write the fraction 0.7 if you mean percent"), "whatever": refused("not a finite number"),
	},
	"disruptionBudget": {
		"": refused("is empty"), "NaN": refused("not a whole number"), "Inf": refused("not a whole number"), "-1": refused("0 (an eighth of the fleet, at least one) or 1 to"),
		"0": 0, "1e309": refused("not a whole number"), "70%": refused("not a whole number"), "70": 70, "whatever": refused("not a whole number"),
	},
	"scaleInDelay": {
		"": refused("is empty"), "NaN": refused("not a duration"), "Inf": refused("not a duration"), "-1": refused("not a duration"),
		"0": refused("outside 1s to 24h"), "1e309": refused("not a duration"), "70%": refused("not a duration"), "70": refused("write 70s if you mean seconds"), "whatever": refused("not a duration"),
	},
	"stormGuard": {
		"": refused("is empty"), "NaN": refused("true or false"), "Inf": refused("true or false"), "-1": refused("true or false"),
		"0": refused("neither on nor off"), "1e309": refused("true or false"), "70%": refused("true or false"), "70": refused("true or false"), "whatever": refused("true or false"),
	},
}

// fieldOf reads the setting of a trigger key from a policy.
func fieldOf(p policy.Policy, key string) any {
	return map[string]any{
		"fleet": p.FleetName, "policy": string(p.Kind), "mode": string(p.Mode), "minReplicas": p.MinReplicas, "maxReplicas": p.MaxReplicas,
		"connectionsPerPod": p.ConnectionsPerPod, "messagesPerPod": p.MessagesPerPod, "cpuCeiling": p.CPUCeiling,
		"memoryCeiling": p.MemoryCeiling, "disruptionBudget": p.DisruptionBudget, "scaleInDelay": p.ScaleInDelay, "stormGuard": p.Storm.Guard,
	}[key]
}

func TestEveryTriggerKeyAgainstEveryClassOfBadInput(t *testing.T) {
	t.Parallel()
	for key, classes := range badInput {
		if len(classes) != 9 {
			t.Errorf("%s: %d classes are listed, want 9 besides missing: a class without expectation is a hole", key, len(classes))
		}
		for value, want := range classes {
			t.Run(key+" = "+value, func(t *testing.T) {
				t.Parallel()
				p, err := policy.Parse(map[string]string{key: value})
				text, isRefused := want.(refused)
				if !isRefused {
					if err != nil {
						t.Fatalf("a good value was refused, and the fleet would not scale: %v", err)
					}
					if got := fieldOf(p, key); got != want {
						t.Fatalf("%s is %v after reading %q, want %v", key, got, value, want)
					}
					return
				}
				if err == nil {
					t.Fatalf("%q was accepted as %v: the fleet would be scaled by a value nobody meant", value, fieldOf(p, key))
				}
				var field *policy.FieldError
				if !errors.As(err, &field) || field.Field != key || field.Fix == "" {
					t.Fatalf("the error does not name field and fix: %v", err)
				}
				if !strings.Contains(err.Error(), string(text)) {
					t.Fatalf("error %q does not say %q", err, text)
				}
				if p != policy.Default() {
					t.Fatalf("a refused trigger changed the policy to %+v", p)
				}
			})
		}
	}
}

func TestMissingKeysAreTheDefault(t *testing.T) {
	t.Parallel()
	for _, metadata := range []map[string]string{nil, {}} {
		p, err := policy.Parse(metadata)
		if err != nil || p != policy.Default() {
			t.Fatalf("Parse(%v) = %+v, %v: want the default policy", metadata, p, err)
		}
	}
	if err := policy.Default().Validate(); err != nil {
		t.Fatalf("the default policy is not valid: %v", err)
	}
}

func TestTriggerKeysAreThoseOfTheDesign(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, s := range policy.Reference() {
		if s.Trigger {
			listed[s.Name] = true
		}
	}
	want := map[string]bool{}
	for key := range badInput {
		want[key] = true
	}
	if !maps.Equal(listed, want) {
		t.Fatalf("trigger keys are %v, the bad-input table has %v", listed, want)
	}
}

func TestAWholeTriggerIsRead(t *testing.T) {
	t.Parallel()
	metadata := map[string]string{
		"fleet": "chat", "policy": "table", "mode": "shadow", "minReplicas": "3", "maxReplicas": "40",
		"connectionsPerPod": "12000", "messagesPerPod": "9000.5", "cpuCeiling": "0.8", "memoryCeiling": "0.75",
		"disruptionBudget": "2", "scaleInDelay": "10m", "stormGuard": "false",
	}
	want := policy.Default()
	want.FleetName, want.Kind, want.Mode = "chat", policy.Table, policy.Shadow
	want.MinReplicas, want.MaxReplicas = 3, 40
	want.ConnectionsPerPod, want.MessagesPerPod = 12000, 9000.5
	want.CPUCeiling, want.MemoryCeiling = 0.8, 0.75
	want.DisruptionBudget, want.ScaleInDelay, want.Storm.Guard = 2, 10*time.Minute, false
	got, err := policy.Parse(metadata)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("read %+v\nwant %+v", got, want)
	}
	again, err := policy.Parse(got.Metadata())
	if err != nil || again != got {
		t.Fatalf("the rendered metadata %v reads as %+v, %v", got.Metadata(), again, err)
	}
}

func TestUnknownKeysSuggestTheNearestKnownOne(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"minReplica":            "did you mean minReplicas?",
		"maxreplicas":           "did you mean maxReplicas?",
		"connections_per_pod":   "did you mean connectionsPerPod?",
		"messagePerPod":         "did you mean messagesPerPod?",
		"cpuCeil":               "did you mean cpuCeiling?",
		"scaleinDelay":          "did you mean scaleInDelay?",
		"disruptionBudgets":     "did you mean disruptionBudget?",
		"fleets":                "did you mean fleet?",
		"polcy":                 "did you mean policy?",
		"threshold":             "known keys are fleet, policy",
		"":                      "known keys are",
		strings.Repeat("x", 99): "known keys are",
	}
	for key, want := range cases {
		_, err := policy.Parse(map[string]string{key: "3"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("key %q: error %v does not say %q", key, err, want)
		}
	}
}

func TestKedasOwnKeysAreNotOurs(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse(map[string]string{
		"scalerAddress": "tidegate-scaler:9090", "enableTLS": "true", "insecureSkipVerify": "false", "unsafeSsl": "false",
		"tlsCertFile": "/x", "caCert": "pem", "tlsClientCert": "pem", "tlsClientKey": "pem", "secretFromEnv": "X", "metricType": "AverageValue",
	})
	if err != nil || p != policy.Default() {
		t.Fatalf("KEDA's own keys gave %+v, %v", p, err)
	}
	_, err = policy.Parse(map[string]string{"metricType": "Value"})
	if err == nil || !strings.Contains(err.Error(), "AverageValue") {
		t.Fatalf("metricType Value would multiply the count by the ready pods, but the error is %v", err)
	}
}

func TestFileSettingsInATriggerSayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	_, err := policy.Parse(map[string]string{"margin": "1.2"})
	if err == nil || !strings.Contains(err.Error(), "policy file") {
		t.Fatalf("a file's setting in a trigger gave %v", err)
	}
}

func TestEveryProblemOfATriggerIsTold(t *testing.T) {
	t.Parallel()
	_, err := policy.Parse(map[string]string{
		"cpuCeiling": "70%", "scaleInDelay": "300", "minReplicas": "60", "bogus": "1", "mode": "dry",
	})
	if err == nil {
		t.Fatal("five wrong settings were accepted")
	}
	for _, field := range []string{"cpuCeiling", "scaleInDelay", "minReplicas", "bogus", "mode"} {
		if !strings.Contains(err.Error(), field+" ") {
			t.Errorf("the error hides %s, and the user must apply again to learn of it:\n%v", field, err)
		}
	}
}

func TestAContradictionWithAWrongValueIsNotToldTwice(t *testing.T) {
	t.Parallel()
	_, err := policy.Parse(map[string]string{"maxReplicas": "1", "minReplicas": "many"})
	if err == nil || strings.Contains(err.Error(), "above") {
		t.Fatalf("minReplicas is unreadable, so it cannot be above anything: %v", err)
	}
}

func TestALongWrongValueIsCutInTheError(t *testing.T) {
	t.Parallel()
	_, err := policy.Parse(map[string]string{"minReplicas": strings.Repeat("9", 1<<16)})
	if err == nil || len(err.Error()) > 400 {
		t.Fatalf("an Event cannot hold an error of %d bytes", len(err.Error()))
	}
}
