package scaledobject_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

// shipped is a ScaledObject without anything to complain about.
const shipped = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {namespace: shop, name: chat, uid: u-1, generation: 3}
spec:
  scaleTargetRef: {name: chat}
  minReplicaCount: 2
  maxReplicaCount: 50
  fallback: {failureThreshold: 3, replicas: 6, behavior: currentReplicasIfHigher}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp: {stabilizationWindowSeconds: 0, tolerance: "0", selectPolicy: Max, policies: [{type: Pods, value: 10, periodSeconds: 15}, {type: Percent, value: 100, periodSeconds: 15}]}
        scaleDown: {stabilizationWindowSeconds: 0, tolerance: 0, policies: [{type: Pods, value: 4, periodSeconds: 15}]}
  triggers:
  - type: external-push
    metadata: {scalerAddress: "tidegate-scaler.tidegate.svc:6000", minReplicas: "2", maxReplicas: "50", connectionsPerPod: "4000"}
    authenticationRef: {name: tidegate-scaler}
status: {hpaName: keda-hpa-chat}
`

// read parses YAML as the API server would hand it out, after each replacement of old by new text.
func read(t *testing.T, replacements ...string) scaledobject.Object {
	t.Helper()
	text := shipped
	for i := 0; i+1 < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("the shipped object does not hold %q", replacements[i])
		}
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	o, err := scaledobject.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestShippedObjectIsReadWhole(t *testing.T) {
	o := read(t)
	if o.Fleet != (fleet.ID{Namespace: "shop", Name: "chat"}) || o.UID != "u-1" || o.Generation != 3 || o.HPAName != "keda-hpa-chat" {
		t.Errorf("read as %+v", o)
	}
	if want := (scaledobject.Target{APIVersion: "apps/v1", Kind: "Deployment", Name: "chat"}); o.Target != want {
		t.Errorf("target is %+v, want %+v", o.Target, want)
	}
	if o.Min != 2 || o.Max != 50 || !o.MinGiven || !o.MaxGiven || o.Idle != nil || o.Modified {
		t.Errorf("limits are %+v", o)
	}
	if want := (&scaledobject.Fallback{Behavior: "currentReplicasIfHigher", FailureThreshold: 3, Replicas: 6}); !cmp.Equal(o.Fallback, want) {
		t.Errorf("fallback is %+v, want %+v", o.Fallback, want)
	}
	for name, d := range map[string]scaledobject.Direction{"up": o.Up, "down": o.Down} {
		if !d.Given || len(d.Missing) > 0 || d.Tolerance == nil || *d.Tolerance != 0 {
			t.Errorf("behaviour %s is %+v, want all of it with tolerance 0", name, d)
		}
	}
	trigger, ok := o.Trigger()
	if !ok || trigger.Type != scaledobject.TypePush || trigger.Authentication != "tidegate-scaler" || trigger.Metadata["connectionsPerPod"] != "4000" {
		t.Errorf("our trigger is %+v, %v", trigger, ok)
	}
	if said := o.Warnings(); len(said) > 0 {
		t.Errorf("the shipped object is complained about: %q", said)
	}
	p, warnings, err := o.Policy(policy.Default())
	if err != nil || len(warnings) > 0 || p.ConnectionsPerPod != 4000 || p.MinReplicas != 2 || p.MaxReplicas != 50 {
		t.Errorf("policy %+v, warnings %q, error %v", p, warnings, err)
	}
}

func TestWhichTriggerIsOurs(t *testing.T) {
	const ours = `{scalerAddress: "tidegate-scaler.tidegate.svc:6000", minReplicas: "2", maxReplicas: "50", connectionsPerPod: "4000"}`
	for _, c := range []struct {
		name, metadata, kind string
		want                 bool
	}{
		{"by the full name of our Service", `{scalerAddress: "tidegate-scaler.tidegate.svc.cluster.local:6000"}`, "external-push", true},
		{"by its short name without a port", `{scalerAddress: tidegate-scaler}`, "external", true},
		{"by a gRPC name with a scheme", `{scalerAddress: "dns:///tidegate-scaler.tidegate:6000"}`, "external", true},
		{"by a key that tells, behind an address of its own", `{scalerAddress: "10.0.0.7:6000", connectionsPerPod: "100"}`, "external-push", true},
		{"not by keys that others have too", `{scalerAddress: "other.shop:6000", minReplicas: "3", mode: act}`, "external", false},
		{"not when somebody else's scaler is asked", `{scalerAddress: "tidegate-scaler-v2.shop:6000"}`, "external", false},
		{"not when the trigger is none of an external scaler", `{scalerAddress: "tidegate-scaler:6000"}`, "prometheus", false},
	} {
		o := read(t, "external-push", c.kind, ours, c.metadata)
		if o.Ours() != c.want {
			t.Errorf("%s: ours is %v", c.name, o.Ours())
		}
		if _, _, err := o.Policy(policy.Default()); errors.Is(err, scaledobject.ErrNotOurs) == c.want {
			t.Errorf("%s: Policy says %v", c.name, err)
		}
		if !c.want && (o.Fleet != fleet.ID{} || o.Warnings() != nil) {
			t.Errorf("%s: a stranger's object is fleet %s with warnings %q", c.name, o.Fleet, o.Warnings())
		}
	}
}

func TestLimitsAreTheTighterOfBoth(t *testing.T) {
	const both = `minReplicas: "2", maxReplicas: "50", `
	for _, c := range []struct {
		name             string
		change           []string
		least, most      int
		warned, unworthy string // in a warning; in the error
	}{
		{"both say the same", nil, 2, 50, "", ""},
		{"the trigger is tighter above", []string{`maxReplicas: "50"`, `maxReplicas: "40"`}, 2, 40, "the tighter, 40", ""},
		{"the object is tighter above", []string{"maxReplicaCount: 50", "maxReplicaCount: 30"}, 2, 30, "the tighter, 30", ""},
		{"the trigger is tighter below", []string{`minReplicas: "2"`, `minReplicas: "5"`}, 5, 50, "the tighter, 5", ""},
		{"the object is tighter below", []string{"minReplicaCount: 2", "minReplicaCount: 7"}, 7, 50, "the tighter, 7", ""},
		{"the trigger says nothing: the object's hold", []string{both, "", "minReplicaCount: 2", "minReplicaCount: 3", "maxReplicaCount: 50", "maxReplicaCount: 90"}, 3, 90, "", ""},
		{"nobody says anything: the policy's hold", []string{both, "", "  minReplicaCount: 2\n", "", "  maxReplicaCount: 50\n", ""}, 2, 50, "", ""},
		{"a least count above the default most", []string{both, "", "minReplicaCount: 2", "minReplicaCount: 60", "  maxReplicaCount: 50\n", ""}, 60, 60, "", ""},
		{"a most count below the default least", []string{both, "", "  minReplicaCount: 2\n", "", "maxReplicaCount: 50", "maxReplicaCount: 1"}, 1, 1, "", ""},
		{"zero replicas count as one", []string{both, "", "minReplicaCount: 2", "minReplicaCount: 0"}, 1, 50, "", ""},
		{"KEDA's own most holds", []string{`maxReplicas: "50"`, `maxReplicas: "400"`, "  maxReplicaCount: 50\n", ""}, 2, 100, "", ""},
		{"limits that leave nothing", []string{`minReplicas: "2"`, `minReplicas: "20"`, "maxReplicaCount: 50", "maxReplicaCount: 10"}, 0, 0, "", "minReplicas"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, warnings, err := read(t, c.change...).Policy(policy.Default())
			if c.unworthy != "" {
				if err == nil || !strings.Contains(err.Error(), c.unworthy) || p != policy.Default() {
					t.Fatalf("policy %d to %d, error %v: want one about %s and the base policy", p.MinReplicas, p.MaxReplicas, err, c.unworthy)
				}
				return
			}
			if err != nil || p.MinReplicas != c.least || p.MaxReplicas != c.most {
				t.Fatalf("limits %d to %d, error %v, want %d to %d", p.MinReplicas, p.MaxReplicas, err, c.least, c.most)
			}
			if said := strings.Join(warnings, "\n"); (said == "") != (c.warned == "") || !strings.Contains(said, c.warned) {
				t.Errorf("warned %q, want %q", said, c.warned)
			}
		})
	}
}

func TestWhatNoDecisionCanBeMadeWith(t *testing.T) {
	const trigger = "  - type: external-push\n"
	for _, c := range []struct {
		name   string
		change []string
		want   string
	}{
		{"Value multiplies by ready pods", []string{trigger, trigger + "    metricType: Value\n"}, `metricType is "Value"`},
		{"another Deployment's fleet", []string{`minReplicas: "2"`, `minReplicas: "2", fleet: chat-v2`}, `write "chat" as key "fleet"`},
		{"another target", []string{"scaleTargetRef: {name: chat}", "scaleTargetRef: {name: other}"}, `write "other" as key "fleet"`},
		{"no Deployment", []string{"scaleTargetRef: {name: chat}", "scaleTargetRef: {name: chat, kind: StatefulSet}"}, "a fleet is a Deployment"},
		{"an unknown key", []string{`minReplicas: "2"`, `minReplicas: "2", conectionsPerPod: "3"`}, "conectionsPerPod"},
		{"a wrong value", []string{`connectionsPerPod: "4000"`, `connectionsPerPod: many`}, `connectionsPerPod "many"`},
		{"a name that is none", []string{`minReplicas: "2"`, `minReplicas: "2", fleet: Chat_1`}, "fleet"},
		{"two of ours", []string{trigger, "  - type: external-push\n    metadata: {scalerAddress: tidegate-scaler}\n" + trigger}, "keep one"},
	} {
		p, _, err := read(t, c.change...).Policy(policy.Default())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if p != policy.Default() {
			t.Errorf("%s: the base policy was changed", c.name)
		}
	}
}

func TestEachQuestionableSettingIsNamed(t *testing.T) {
	const fallback = "behavior: currentReplicasIfHigher"
	for _, c := range []struct {
		name   string
		change []string
		want   string
	}{
		{"polled only", []string{"external-push", "external"}, "write external-push"},
		{"cached metrics", []string{"    authenticationRef", "    useCachedMetrics: true\n    authenticationRef"}, "useCachedMetrics"},
		{"idle", []string{"  maxReplicaCount", "  idleReplicaCount: 0\n  maxReplicaCount"}, "idleReplicaCount"},
		{"zero", []string{"minReplicaCount: 2", "minReplicaCount: 0"}, "minReplicaCount is 0"},
		{"static fallback", []string{", " + fallback, ""}, "scales a larger fleet in to 6"},
		{"fallback that may scale in", []string{fallback, "behavior: currentReplicasIfLower"}, "currentReplicasIfLower"},
		{"a formula", []string{"  advanced:\n", "  advanced:\n    scalingModifiers: {formula: a+b}\n"}, "scalingModifiers"},
		{"a second voice", []string{"  triggers:\n", "  triggers:\n  - {type: cpu, metadata: {value: \"60\"}}\n"}, "2 triggers"},
		{"no tolerance", []string{`tolerance: "0", `, ""}, "scaleUp leaves out tolerance"},
		{"some tolerance", []string{`tolerance: "0"`, `tolerance: "50m"`}, "scaleUp.tolerance is 0.05"},
		{"no stabilization window", []string{"scaleDown: {stabilizationWindowSeconds: 0, ", "scaleDown: {"}, "scaleDown leaves out stabilizationWindowSeconds"},
		{"no policies", []string{", policies: [{type: Pods, value: 4, periodSeconds: 15}]", ""}, "scaleDown leaves out policies"},
		{"one direction only", []string{"scaleDown:", "ignored:"}, "scaleDown is missing"},
	} {
		said := read(t, c.change...).Warnings()
		if len(said) != 1 || !strings.Contains(said[0], c.want) {
			t.Errorf("%s: said %q, want one warning with %q", c.name, said, c.want)
		}
	}
	// Without a fallback the HPA holds, and that is what a fleet wants.
	o := read(t, "  fallback: {failureThreshold: 3, replicas: 6, behavior: currentReplicasIfHigher}\n", "")
	if said := o.Warnings(); len(said) > 0 || o.Fallback != nil {
		t.Errorf("without a fallback: %q", said)
	}
}

func TestPauses(t *testing.T) {
	six := 6
	for text, want := range map[string]scaledobject.Pause{
		`autoscaling.keda.sh/paused: "true"`:          {All: true},
		`autoscaling.keda.sh/paused: "false"`:         {},
		`autoscaling.keda.sh/paused: "yes please"`:    {All: true},
		`autoscaling.keda.sh/paused-replicas: "6"`:    {All: true, Replicas: &six},
		`autoscaling.keda.sh/paused-replicas: "some"`: {All: true},
		`autoscaling.keda.sh/paused-scale-in: "true"`: {In: true},
		`autoscaling.keda.sh/paused-scale-out: "1"`:   {Out: true},
		`other: "true"`: {},
	} {
		if got := read(t, "generation: 3", "generation: 3, annotations: {"+text+"}").Pause; !cmp.Equal(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestWhatKEDAWouldNotStore(t *testing.T) {
	for name, u := range map[string]*unstructured.Unstructured{
		"nothing":          nil,
		"an empty one":     {},
		"text for a count": {Object: map[string]any{"spec": map[string]any{"minReplicaCount": "two"}}},
		"numbers for text": {Object: map[string]any{"spec": map[string]any{"triggers": []any{map[string]any{"metadata": map[string]any{"fleet": int64(3)}}}}}},
	} {
		if o, err := scaledobject.Parse(u); err == nil {
			t.Errorf("%s is read as %+v", name, o)
		}
	}
}

// Whatever a ScaledObject holds, a policy that comes of it is valid, stays inside the object's own bounds, and is the base
// policy where there is an error.
func FuzzPolicy(f *testing.F) {
	for _, metadata := range []string{`{}`, `{"fleet":"chat"}`, `{"maxReplicas":"9","minReplicas":"10"}`, `{"connectionsPerPod":"NaN"}`} {
		f.Add(metadata, 2, 50, "external-push")
	}
	f.Add(`{"minReplicas":"3"}`, -1, 1<<40, "external")
	f.Fuzz(func(t *testing.T, metadata string, least, most int, kind string) {
		var keys map[string]any
		if json.Unmarshal([]byte(metadata), &keys) != nil || keys == nil {
			return
		}
		keys["scalerAddress"] = "tidegate-scaler:6000"
		o, err := scaledobject.Parse(&unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"namespace": "shop", "name": "chat"},
			"spec": map[string]any{
				"scaleTargetRef": map[string]any{"name": "chat"}, "minReplicaCount": int64(least), "maxReplicaCount": int64(most),
				"triggers": []any{map[string]any{"type": kind, "metadata": keys}},
			},
		}})
		if err != nil {
			return
		}
		p, _, err := o.Policy(policy.Default())
		if err != nil {
			if p != policy.Default() {
				t.Fatalf("error %v, but the base policy was changed", err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("the policy is not valid: %v", err)
		}
		if p.MinReplicas < max(least, 1) || p.MaxReplicas > most {
			t.Fatalf("limits %d to %d are wider than the object's %d to %d", p.MinReplicas, p.MaxReplicas, least, most)
		}
		if !slices.Contains([]string{"external", "external-push"}, kind) {
			t.Fatalf("a trigger of type %q has a policy", kind)
		}
	})
}
