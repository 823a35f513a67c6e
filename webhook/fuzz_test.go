package webhook

import (
	"log/slog"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	strictjson "k8s.io/apimachinery/pkg/util/json"
)

// quiet keeps no log: a fuzzer would fill the memory with it.
func quiet(w *town) *town {
	w.Logger = slog.New(slog.DiscardHandler)
	return w
}

// FuzzMutatePod sends any object as a pod: the answer lets it through, and what it patches can be applied.
func FuzzMutatePod(f *testing.F) {
	for _, seed := range []string{createPod, change(createPod, `"image":"tidegate"`, `"env":null,"lifecycle":{}`), scaleIn, "", "{}", "null"} {
		f.Add([]byte(seed))
	}
	w := quiet(newTown(f, nil, nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := w.post(t, PathPods, body).Response
		checkAnswer(t, body, answer)
		if len(answer.Patch) > 0 {
			applies(t, body, answer.Patch)
		}
	})
}

// applies checks that the API server can apply a patch to the object of a review: where it cannot, it refuses the pod.
func applies(t *testing.T, body, operations []byte) {
	t.Helper()
	var review admissionv1.AdmissionReview
	if err := strictjson.Unmarshal(body, &review); err != nil || review.Request == nil {
		t.Fatalf("a review that cannot be read was patched: %v", err)
	}
	patch, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(review.Request.Object.Raw)
	if err != nil {
		t.Fatalf("%s cannot be applied to %s: %v", operations, review.Request.Object.Raw, err)
	}
	var pod corev1.Pod
	if err := strictjson.Unmarshal(patched, &pod); err != nil {
		t.Fatalf("%s is no pod any more: %v", patched, err)
	}
}

// FuzzStamp sends any review to the stamps: the answer lets it through without a patch of the object.
func FuzzStamp(f *testing.F) {
	for _, seed := range []string{scaleIn, change(scaleIn, `"replicas":2`, `"replicas":-2147483648`), createPod, "", "[]"} {
		f.Add([]byte(seed))
	}
	w := quiet(newTown(f, func(o *Options) { o.DryRun = true }, inOrder("b")))
	f.Fuzz(func(t *testing.T, body []byte) {
		defer w.client.ClearActions()
		answer := w.post(t, PathStamp, body).Response
		checkAnswer(t, body, answer)
		if len(answer.Patch) > 0 {
			t.Errorf("a scale-in is changed: %s", answer.Patch)
		}
	})
}

// FuzzScaledObject sends any review to the judge: a refusal has words.
func FuzzScaledObject(f *testing.F) {
	for _, seed := range []string{createScaledObject, createPod, "", "{}"} {
		f.Add([]byte(seed))
	}
	w := quiet(newTown(f, nil, nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := w.post(t, PathScaledObjects, body).Response
		if !answer.Allowed && answer.Result.Message == "" {
			t.Error("refused without a word")
		}
	})
}

// checkAnswer checks that whoever sent a review that has an id is let through.
func checkAnswer(t *testing.T, body []byte, answer *admissionv1.AdmissionResponse) {
	t.Helper()
	if !answer.Allowed && answer.UID != "" {
		t.Errorf("%q is refused: %v", body, answer.Result)
	}
	for _, warning := range answer.Warnings {
		if len(warning) > maxWarning {
			t.Errorf("a warning of %d bytes", len(warning))
		}
	}
}

func BenchmarkReviewOfAPod(b *testing.B) {
	w := newTown(b, nil, nil)
	body := []byte(createPod)
	b.ReportAllocs()
	for b.Loop() {
		if len(w.post(b, PathPods, body).Response.Patch) == 0 {
			b.Fatal("not injected")
		}
	}
}
