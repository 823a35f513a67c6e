package injection_test

import (
	"encoding/json"
	"fmt"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/injection"
)

// patched applies an injection as the API server does.
func patched(t interface{ Fatal(...any) }, pod *corev1.Pod, done injection.Injection) *corev1.Pod {
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Patch) > 0 {
		operations, err := json.Marshal(done.Patch)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(operations)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = patch.Apply(raw); err != nil {
			t.Fatal(err)
		}
	}
	var out corev1.Pod
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

func drawPod(t *rapid.T) *corev1.Pod {
	changes := []func(*corev1.Pod){
		annotated(keys.AnnotationDrainPort, rapid.SampledFrom([]string{"9090", "0", "text", "admin"}).Draw(t, "port")),
		annotated(keys.AnnotationDrainSeconds, rapid.SampledFrom([]string{"60", "-1", "1e9", "3600"}).Draw(t, "seconds")),
		annotated(keys.AnnotationContainer, rapid.SampledFrom([]string{"socket", "sidecar", "setup", "none"}).Draw(t, "container")),
		annotated(keys.AnnotationKeepGrace, rapid.SampledFrom([]string{"true", "false", "maybe"}).Draw(t, "keep")),
		annotated(keys.AnnotationOverridePreStop, rapid.SampledFrom([]string{"true", "false"}).Draw(t, "override")),
		graced(rapid.Int64Range(0, 4000).Draw(t, "grace")),
	}
	optional := map[string]func(*corev1.Pod){
		"own hook": ownPreStop, "own name": noName, "own variable": env("POD_IP", "x"), "own nonce": env("TIDEGATE_DRAIN_NONCE", "theirs"),
		"empty env":      func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{} },
		"init container": func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "setup"}} },
	}
	for name, change := range optional {
		if rapid.Bool().Draw(t, name) {
			changes = append(changes, change)
		}
	}
	return socketPod(changes...)
}

func TestInjectingTwiceChangesNothingMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod := drawPod(t)
		once := patched(t, pod, injection.Inject(pod, chance))
		again := injection.Inject(once, injection.Chance{Nonce: "another", Suffix: "other"})
		if len(again.Patch) > 0 {
			t.Errorf("the pod changes again when it is admitted again: %v", again.Patch)
		}
		for i := range once.Spec.InitContainers {
			if diff := cmp.Diff(pod.Spec.InitContainers[i], once.Spec.InitContainers[i]); diff != "" {
				t.Errorf("an init container was changed: %s", diff)
			}
		}
		checkHook(t, once)
	})
}

// checkHook checks what the kubelet and the node will make of a pod.
func checkHook(t *rapid.T, pod *corev1.Pod) {
	for _, container := range pod.Spec.Containers {
		variables := make(map[string]string)
		for _, variable := range container.Env {
			if _, twice := variables[variable.Name]; twice {
				t.Errorf("container %s has %s twice", container.Name, variable.Name)
			}
			variables[variable.Name] = variable.Value
		}
		if container.Lifecycle == nil || container.Lifecycle.PreStop == nil || container.Lifecycle.PreStop.HTTPGet == nil {
			continue
		}
		get := container.Lifecycle.PreStop.HTTPGet
		if get.Host != "" {
			t.Errorf("the hook names host %q, which Pod Security forbids", get.Host)
		}
		if get.Port == intstr.FromInt32(0) {
			t.Error("the hook has no port")
		}
		if len(get.HTTPHeaders) != 1 || get.HTTPHeaders[0].Value != variables["TIDEGATE_DRAIN_NONCE"] || variables["TIDEGATE_DRAIN_NONCE"] == "" {
			t.Errorf("the hook shows %v and the node wants %q: it would refuse to drain", get.HTTPHeaders, variables["TIDEGATE_DRAIN_NONCE"])
		}
		var seconds int64
		if _, err := fmt.Sscanf(variables["TIDEGATE_DRAIN_TIMEOUT"], "%ds", &seconds); err != nil || seconds < 1 {
			t.Errorf("the node may drain for %q", variables["TIDEGATE_DRAIN_TIMEOUT"])
		}
		if grace := *pod.Spec.TerminationGracePeriodSeconds; seconds >= grace && grace > 1 {
			t.Errorf("the node drains for %d s and is killed after %d s", seconds, grace)
		}
	}
}

func BenchmarkInject(b *testing.B) {
	pod := socketPod()
	b.ReportAllocs()
	for b.Loop() {
		if len(injection.Inject(pod, chance).Patch) != 9 {
			b.Fatal("the patch is wrong")
		}
	}
}
