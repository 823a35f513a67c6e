package trigger_test

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/webhook/trigger"
)

// object is a ScaledObject in JSON with a spec.
func object(spec string) []byte {
	return []byte(`{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","metadata":{"namespace":"chat","name":"socket"},"spec":` + spec + `}`)
}

const full = `"advanced":{"horizontalPodAutoscalerConfig":{"behavior":{
	"scaleUp":{"tolerance":"0","stabilizationWindowSeconds":0,"policies":[{"type":"Pods","value":10,"periodSeconds":15}]},
	"scaleDown":{"tolerance":"0","stabilizationWindowSeconds":0,"policies":[{"type":"Pods","value":4,"periodSeconds":15}]}}}},
	"minReplicaCount":2,"maxReplicaCount":50,"fallback":{"failureThreshold":3,"replicas":6,"behavior":"currentReplicasIfHigher"}`

func spec(trigger, rest string) []byte {
	return object(`{"scaleTargetRef":{"name":"socket"},` + rest + `,"triggers":[` + trigger + `]}`)
}

const ours = `{"type":"external-push","metadata":{"scalerAddress":"tidegate-scaler.tidegate:6000"}}`

func TestWhatUsersAreTold(t *testing.T) {
	wrong := spec(strings.Replace(ours, `:6000"`, `:6000","connectionsPerPod":"many"`, 1), full)
	deleted := []byte(strings.Replace(string(wrong), `"name":"socket"}`, `"name":"socket","deletionTimestamp":"2026-11-24T12:00:00Z"}`, 1))
	cases := []struct {
		name        string
		object, old []byte
		refused     string
		warned      []string
	}{
		{name: "all as shipped", object: spec(ours, full)},
		{name: "somebody else's", object: spec(`{"type":"cpu","metricType":"Utilization","metadata":{"value":"x"}}`, full)},
		{name: "a number in words", object: wrong, refused: "connectionsPerPod"},
		{name: "metricType Value", object: spec(strings.Replace(ours, `"metadata"`, `"metricType":"Value","metadata"`, 1), full), refused: `metricType is "Value"`},
		{name: "the same spec as before is only warned of", object: wrong, old: wrong, warned: []string{"connectionsPerPod"}},
		{name: "a change to a wrong one", object: wrong, old: spec(ours, full), refused: "connectionsPerPod"},
		{name: "one that is being deleted", object: deleted},
		{
			name: "the defaults of KEDA", object: object(`{"scaleTargetRef":{"name":"socket"},"triggers":[` + ours + `],"fallback":{"failureThreshold":3,"replicas":6},"idleReplicaCount":0}`),
			warned: []string{"idleReplicaCount", "minReplicaCount", "fallback.behavior is static", "scaleUp is missing", "scaleDown is missing"},
		},
		{name: "cached metrics", object: spec(strings.Replace(ours, `"metadata"`, `"useCachedMetrics":true,"metadata"`, 1), full), warned: []string{"useCachedMetrics"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			verdict, err := trigger.Judge(c.object, c.old)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.refused == "" && verdict.Refusal != nil:
				t.Errorf("refused: %v", verdict.Refusal)
			case c.refused != "" && (verdict.Refusal == nil || !strings.Contains(verdict.Refusal.Error(), c.refused)):
				t.Errorf("refusal %v, want words on %q", verdict.Refusal, c.refused)
			}
			if len(verdict.Warnings) != len(c.warned) {
				t.Fatalf("warnings %q, want %d", verdict.Warnings, len(c.warned))
			}
			for i, word := range c.warned {
				if !strings.Contains(verdict.Warnings[i], word) {
					t.Errorf("warning %q does not say %q", verdict.Warnings[i], word)
				}
			}
		})
	}
}

func TestWhatIsNoScaledObject(t *testing.T) {
	for _, body := range []string{"", "null", "{}", "[]", "text", `{"kind":"Pod"}`, `{"kind":"ScaledObject","spec":{"triggers":"many"}}`} {
		if verdict, err := trigger.Judge([]byte(body), nil); err == nil || verdict.Refusal != nil {
			t.Errorf("%q: %+v, %v: want an error and no refusal", body, verdict, err)
		}
	}
}
