package injection_test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/injection"
)

var chance = injection.Chance{Nonce: "nonce-1", Suffix: "x2k9z"}

// socketPod is a pod as the ReplicaSet controller sends it, changed as a test wants.
func socketPod(changes ...func(*corev1.Pod)) *corev1.Pod {
	grace := int64(30)
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "socket-7d9f6c5b4-", Labels: map[string]string{keys.LabelInject: "true", "pod-template-hash": "7d9f6c5b4"},
			Annotations: map[string]string{},
		},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{
				{Name: "socket", Image: "tidegate", Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 9090}}},
				{Name: "sidecar", Image: "proxy"},
			},
		},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func annotated(name, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations[name] = value }
}

func env(name, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: value})
	}
}

func graced(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

func ownPreStop(p *corev1.Pod) {
	p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{
		PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"hello"}}},
		PreStop:   &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"bye"}}},
	}
}

func noName(p *corev1.Pod) { p.GenerateName, p.Name = "", "socket-0" }

// The parts of a patch that most cases share.
const (
	goldenGrace    = `{"op":"add","path":"/spec/terminationGracePeriodSeconds","value":330}`
	goldenHook     = `{"op":"add","path":"/spec/containers/0/lifecycle","value":{"preStop":{"httpGet":{"path":"/drain","port":9090,"scheme":"HTTP","httpHeaders":[{"name":"X-Tidegate-Drain-Nonce","value":"nonce-1"}]}}}}`
	goldenNonce    = `{"op":"add","path":"/spec/containers/0/env","value":[{"name":"TIDEGATE_DRAIN_NONCE","value":"nonce-1"}]}`
	goldenTimeout  = `{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"TIDEGATE_DRAIN_TIMEOUT","value":"300s"}}`
	goldenName     = `{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"POD_NAME","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.name"}}}}`
	goldenIP       = `{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"POD_IP","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.podIP"}}}}`
	goldenPodName  = `{"op":"add","path":"/metadata/name","value":"socket-7d9f6c5b4-x2k9z"}`
	goldenHostname = `{"op":"add","path":"/spec/hostname","value":"socket-7d9f6c5b4-x2k9z"}`
	goldenDomain   = `{"op":"add","path":"/spec/subdomain","value":"socket"}`
)

var (
	goldenEnv      = []string{goldenNonce, goldenTimeout, goldenName, goldenIP}
	goldenIdentity = []string{goldenPodName, goldenHostname, goldenDomain}
)

func together(parts ...any) []string {
	var out []string
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			out = append(out, p)
		case []string:
			out = append(out, p...)
		}
	}
	return out
}

func replaced(in []string, from, to string) []string {
	var out []string
	for _, text := range in {
		out = append(out, strings.ReplaceAll(text, from, to))
	}
	return out
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
