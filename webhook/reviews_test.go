package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestReviewsThatAreWrongLetTheRequestThrough(t *testing.T) {
	cases := []struct {
		name, path, body string
		// unreadable reviews get no id back, which makes the API server follow failurePolicy: Ignore.
		unreadable bool
		// warned is what a warning must say; empty when there must be none.
		warned string
	}{
		{name: "empty", path: PathStamp, body: "", unreadable: true},
		{name: "no JSON", path: PathPods, body: "\x00\xff", unreadable: true},
		{name: "another kind of review", path: PathPods, body: `{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1"}`, unreadable: true},
		{name: "no request", path: PathPods, body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, unreadable: true},
		{name: "request null", path: PathStamp, body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`, unreadable: true},
		{name: "no uid", path: PathPods, body: change(createPod, `"uid":"u1",`, ``), unreadable: true},
		{name: "a pod review at the stamps", path: PathStamp, body: createPod, warned: "only updates of apps"},
		{name: "a scale at the pods", path: PathPods, body: scaleIn, warned: "only the creation of pods"},
		{name: "a StatefulSet's scale", path: PathStamp, body: change(scaleIn, "deployments", "statefulsets"), warned: "point the webhook at"},
		{name: "a pod that is no object", path: PathPods, body: change(createPod, `"object":{`, `"object":7,"other":{`), warned: "read the pod"},
		{name: "no old object", path: PathStamp, body: change(scaleIn, `"oldObject"`, `"olderObject"`), warned: "read the old object"},
		{name: "replicas in words", path: PathStamp, body: change(scaleIn, `"replicas":2`, `"replicas":"two"`), warned: "read the object"},
		{name: "a pod without containers", path: PathPods, body: change(createPod, `"containers":[{"name":"socket","image":"tidegate"}]`, ``), warned: "no containers"},
		{
			name: "a pod with a preStop hook of its own", path: PathPods,
			body:   change(createPod, `"image":"tidegate"`, `"lifecycle":{"preStop":{"exec":{"command":["bye"]}}}`),
			warned: "which was kept",
		},
		{name: "a pod in a foreign namespace", path: PathPods, body: change(createPod, `"namespace":"chat"`, `"namespace":"other"`), warned: "--fleet-namespaces"},
		{name: "a scale-in in a foreign namespace", path: PathStamp, body: change(scaleIn, `"namespace":"chat"`, `"namespace":"other"`)},
		{name: "a pod without the label", path: PathPods, body: change(createPod, `"tidegate.dev/inject":"true",`, ``)},
		{name: "a dry run of a scale-in", path: PathStamp, body: change(scaleIn, `"uid":"u1"`, `"uid":"u1","dryRun":true`)},
		{name: "a scale-out", path: PathStamp, body: change(scaleIn, `"replicas":2`, `"replicas":9`)},
		{name: "a fleet that is not there", path: PathStamp, body: change(scaleIn, `"name":"socket"`, `"name":"ghost"`), warned: "there is no Deployment chat/ghost"},
		{name: "a scale-in of a count that is not stored", path: PathStamp, body: change(scaleIn, `"replicas":3`, `"replicas":4`), warned: "does not agree with what is stored"},
		{name: "a ScaledObject review with a pod", path: PathScaledObjects, body: createPod, warned: "only scaledobjects"},
		{name: "a ScaledObject whose spec is a list", path: PathScaledObjects, body: change(createScaledObject, `"triggers":[`, `"triggers":7,"others":[`), warned: "read ScaledObject"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newTown(t, nil, inOrder("b", "a", "c"))
			answer := w.post(t, c.path, []byte(c.body)).Response
			if c.unreadable {
				if answer.UID != "" {
					t.Errorf("uid %q was answered to a review without one", answer.UID)
				}
				return
			}
			if !answer.Allowed || answer.UID != "u1" {
				t.Errorf("allowed %v, uid %q: a fault of the webhook would stop pods or scaling", answer.Allowed, answer.UID)
			}
			said := strings.Join(answer.Warnings, "\n")
			if c.warned == "" && said != "" || !strings.Contains(said, c.warned) {
				t.Errorf("warnings %q, want words on %q", said, c.warned)
			}
			for _, warning := range answer.Warnings {
				if len(warning) > maxWarning || strings.ContainsAny(warning, "\n\r\x00") {
					t.Errorf("clients would not show the warning %q", warning)
				}
			}
			for _, action := range w.client.Actions() {
				if c.warned == "" || action.GetVerb() != "get" {
					t.Errorf("%s %s: nothing is to be done, or nothing can be", action.GetVerb(), action.GetResource().Resource)
				}
			}
		})
	}
}

func TestAPanicLetsTheRequestThrough(t *testing.T) {
	w := newTown(t, nil, func() ([]string, error) { panic("a bug") })
	answer := w.post(t, PathStamp, []byte(scaleIn)).Response
	if !answer.Allowed || answer.UID != "u1" || len(answer.Warnings) != 1 {
		t.Errorf("%+v: a bug of the webhook would stop scaling", answer)
	}
	if got := counted64(t, w.meters.admissions.WithLabelValues("scale-in", resultPanic)); got != 1 {
		t.Errorf("%v panics are counted", got)
	}
}

func TestAPodIsInjected(t *testing.T) {
	w := newTown(t, nil, nil)
	answer := w.post(t, PathPods, []byte(createPod)).Response
	var patch []struct {
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	if err := json.Unmarshal(answer.Patch, &patch); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]any)
	for _, p := range patch {
		values[p.Path] = p.Value
	}
	name, _ := values["/metadata/name"].(string)
	suffix, found := strings.CutPrefix(name, "socket-7d9f-")
	if !found || len(suffix) != suffixLength || strings.Trim(suffix, suffixAlphabet) != "" {
		t.Errorf("the pod's name is %q", name)
	}
	if values["/spec/hostname"] != name || values["/spec/subdomain"] != "socket" || values["/spec/containers/0/lifecycle"] == nil {
		t.Errorf("the patch is %s", answer.Patch)
	}
	second := w.post(t, PathPods, []byte(createPod)).Response
	if bytes.Equal(answer.Patch, second.Patch) {
		t.Error("two pods got the same nonce and name")
	}
}

func TestADryRunOfTheProcessOnlyLogs(t *testing.T) {
	w := newTown(t, func(o *Options) { o.DryRun = true }, inOrder("b", "a", "c"))
	for path, body := range map[string]string{PathPods: createPod, PathStamp: change(scaleIn, hpa, "alice"), PathScaledObjects: createScaledObject} {
		answer := w.post(t, path, []byte(body)).Response
		if !answer.Allowed || len(answer.Patch) > 0 {
			t.Errorf("%s: %+v", path, answer)
		}
	}
	if len(w.patchedPods()) > 0 || len(w.events.events) > 0 || w.waited > 0 {
		t.Errorf("patched %v, events %v, waited %s", w.patchedPods(), w.events.events, w.waited)
	}
	for _, word := range []string{"would inject a pod", "would stamp a scale-in", "victims=[b]", "would refuse a ScaledObject"} {
		if !strings.Contains(w.logs.String(), word) {
			t.Errorf("the log does not say %q", word)
		}
	}
}

func TestAWrongTriggerIsRefused(t *testing.T) {
	w := newTown(t, nil, nil)
	answer := w.post(t, PathScaledObjects, []byte(createScaledObject)).Response
	if answer.Allowed || !strings.Contains(answer.Result.Message, "connectionsPerPod") {
		t.Errorf("%+v: the user is not told", answer)
	}
	if len(answer.Warnings) == 0 {
		t.Error("missing behaviour and limits are not warned of")
	}
	mended := change(createScaledObject, `,"connectionsPerPod":"many"`, ``)
	if answer := w.post(t, PathScaledObjects, []byte(mended)).Response; !answer.Allowed {
		t.Errorf("refused: %v", answer.Result)
	}
	foreign := change(createScaledObject, "tidegate-scaler:6000", "other:6000", `"connectionsPerPod"`, `"x"`)
	if answer := w.post(t, PathScaledObjects, []byte(foreign)).Response; !answer.Allowed || len(answer.Warnings) > 0 {
		t.Errorf("somebody else's ScaledObject: %+v", answer)
	}
}
