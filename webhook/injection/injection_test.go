package injection_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/injection"
)

func TestWhatIsInjected(t *testing.T) {
	cases := []struct {
		name string
		pod  *corev1.Pod
		want []string
		// warned are what each warning must hold, in order.
		warned []string
	}{
		{
			name: "a plain pod gets everything",
			pod:  socketPod(),
			want: together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
		},
		{
			name: "a pod without the label gets nothing",
			pod:  socketPod(func(p *corev1.Pod) { p.Labels[keys.LabelInject] = "yes" }),
		},
		{
			name: "port, path and seconds by annotation",
			pod: socketPod(annotated(keys.AnnotationDrainPort, "8090"), annotated(keys.AnnotationDrainPath, "/leave?now=1"),
				annotated(keys.AnnotationDrainSeconds, "60")),
			want: replaced(replaced(replaced(replaced(together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
				"330", "90"), `"port":9090`, `"port":8090`), `"/drain"`, `"/leave?now=1"`), "300s", "60s"),
		},
		{
			name: "a port by the name that the pod declares",
			pod:  socketPod(annotated(keys.AnnotationDrainPort, "admin")),
			want: replaced(together(goldenGrace, goldenHook, goldenEnv, goldenIdentity), `"port":9090`, `"port":"admin"`),
		},
		{
			name: "another container",
			pod:  socketPod(annotated(keys.AnnotationContainer, "sidecar")),
			want: replaced(together(goldenGrace, goldenHook, goldenEnv, goldenIdentity), "containers/0", "containers/1"),
		},
		{
			name: "a grace period that is long enough stays",
			pod:  socketPod(graced(600)),
			want: together(goldenHook, goldenEnv, goldenIdentity),
		},
		{
			name: "a grace period that nobody gave is Kubernetes' own",
			pod:  socketPod(func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = nil }),
			want: together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
		},
		{
			name:   "a grace period that is kept shortens the drain, so that all is closed before the kill",
			pod:    socketPod(annotated(keys.AnnotationKeepGrace, "true")),
			want:   replaced(together(goldenHook, goldenEnv, goldenIdentity), "300s", "20s"),
			warned: []string{"grace period of 30 s"},
		},
		{
			name:   "a grace period of 5 s leaves 3 s to drain",
			pod:    socketPod(annotated(keys.AnnotationKeepGrace, "true"), graced(5)),
			want:   replaced(together(goldenHook, goldenEnv, goldenIdentity), "300s", "3s"),
			warned: []string{"grace period of 5 s"},
		},
		{
			name: "a grace period that is kept and long enough needs no word",
			pod:  socketPod(annotated(keys.AnnotationKeepGrace, "true"), graced(400)),
			want: together(goldenHook, goldenEnv, goldenIdentity),
		},
		{
			name: "variables that are there stay",
			pod:  socketPod(env("POD_NAME", "mine"), env("TIDEGATE_DRAIN_TIMEOUT", "10s")),
			want: together(goldenGrace, goldenHook,
				`{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"TIDEGATE_DRAIN_NONCE","value":"nonce-1"}}`, goldenIP, goldenIdentity),
		},
		{
			name: "a nonce that is there is what the hook shows",
			pod:  socketPod(env("TIDEGATE_DRAIN_NONCE", "theirs")),
			want: together(goldenGrace, replaced([]string{goldenHook}, "nonce-1", "theirs"), goldenTimeout, goldenName, goldenIP, goldenIdentity),
		},
		{
			name: "a nonce by reference cannot be shown",
			pod: socketPod(func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TIDEGATE_DRAIN_NONCE", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}}
			}),
			want:   together(goldenGrace, goldenTimeout, goldenName, goldenIP, goldenIdentity),
			warned: []string{"remove the variable"},
		},
		{
			name:   "a preStop hook of the pod's own is kept",
			pod:    socketPod(ownPreStop),
			want:   together(goldenGrace, goldenEnv, goldenIdentity),
			warned: []string{"set annotation tidegate.dev/override-prestop to true"},
		},
		{
			name: "a preStop hook is replaced when the pod says so, and nothing else of its lifecycle",
			pod:  socketPod(ownPreStop, annotated(keys.AnnotationOverridePreStop, "true")),
			want: together(goldenGrace,
				`{"op":"add","path":"/spec/containers/0/lifecycle/preStop","value":{"httpGet":{"path":"/drain","port":9090,"scheme":"HTTP","httpHeaders":[{"name":"X-Tidegate-Drain-Nonce","value":"nonce-1"}]}}}`,
				goldenEnv, goldenIdentity),
			warned: []string{"was replaced"},
		},
		{
			name: "a lifecycle without a preStop is kept",
			pod: socketPod(func(p *corev1.Pod) {
				p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"hello"}}}}
			}),
			want: together(goldenGrace,
				`{"op":"add","path":"/spec/containers/0/lifecycle/preStop","value":{"httpGet":{"path":"/drain","port":9090,"scheme":"HTTP","httpHeaders":[{"name":"X-Tidegate-Drain-Nonce","value":"nonce-1"}]}}}`,
				goldenEnv, goldenIdentity),
		},
		{
			name:   "port 0",
			pod:    socketPod(annotated(keys.AnnotationDrainPort, "0")),
			want:   together(goldenGrace, goldenEnv, goldenIdentity),
			warned: []string{`tidegate.dev/drain-port is "0": give a number from 1 to 65535`},
		},
		{
			name:   "a port in words that no container has",
			pod:    socketPod(annotated(keys.AnnotationDrainPort, "nowhere")),
			want:   together(goldenGrace, goldenEnv, goldenIdentity),
			warned: []string{`is "nowhere"`},
		},
		{
			name:   "a port that only another container declares, where the kubelet would not look",
			pod:    socketPod(annotated(keys.AnnotationDrainPort, "admin"), annotated(keys.AnnotationContainer, "sidecar")),
			want:   replaced(together(goldenGrace, goldenEnv, goldenIdentity), "containers/0", "containers/1"),
			warned: []string{`is "admin": give a number from 1 to 65535 or the name of a port of container "sidecar"`},
		},
		{
			name:   "an empty port",
			pod:    socketPod(annotated(keys.AnnotationDrainPort, "")),
			want:   together(goldenGrace, goldenEnv, goldenIdentity),
			warned: []string{`is ""`},
		},
		{
			name:   "a path that is none",
			pod:    socketPod(annotated(keys.AnnotationDrainPath, "drain")),
			want:   together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
			warned: []string{`is "drain": give a path that begins with a slash`},
		},
		{
			name:   "a path that holds a line break",
			pod:    socketPod(annotated(keys.AnnotationDrainPath, "/a\nHost: evil")),
			want:   together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
			warned: []string{`\nHost`},
		},
		{
			name:   "a negative drain",
			pod:    socketPod(annotated(keys.AnnotationDrainSeconds, "-1")),
			want:   together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
			warned: []string{`tidegate.dev/drain-seconds is "-1": give whole seconds from 1 to 3600`},
		},
		{
			name:   "a drain of 1e9",
			pod:    socketPod(annotated(keys.AnnotationDrainSeconds, "1e9")),
			want:   together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
			warned: []string{`is "1e9"`},
		},
		{
			name:   "a drain with a unit",
			pod:    socketPod(annotated(keys.AnnotationDrainSeconds, "300s")),
			want:   together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
			warned: []string{"without a unit"},
		},
		{
			name:   "a flag that is neither true nor false",
			pod:    socketPod(annotated(keys.AnnotationKeepGrace, "yes")),
			want:   together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
			warned: []string{`tidegate.dev/keep-grace is "yes": write true or false`},
		},
		{
			name:   "a container that is not there",
			pod:    socketPod(annotated(keys.AnnotationContainer, "main")),
			want:   goldenIdentity,
			warned: []string{`tidegate.dev/container is "main"`},
		},
		{
			name: "an init container cannot drain",
			pod: socketPod(annotated(keys.AnnotationContainer, "setup"), func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "setup"}}
			}),
			want:   goldenIdentity,
			warned: []string{"an init container"},
		},
		{
			name:   "a pod without containers",
			pod:    socketPod(func(p *corev1.Pod) { p.Spec.Containers = nil }),
			warned: []string{"no containers"},
		},
		{
			name: "a pod with a name of its own keeps it",
			pod:  socketPod(noName),
			want: together(goldenGrace, goldenHook, goldenEnv),
		},
		{
			name: "a pod with a hostname of its own keeps all three",
			pod:  socketPod(func(p *corev1.Pod) { p.Spec.Hostname = "mine" }),
			want: together(goldenGrace, goldenHook, goldenEnv),
		},
		{
			name: "a pod with a subdomain of its own keeps all three",
			pod:  socketPod(func(p *corev1.Pod) { p.Spec.Subdomain = "mine" }),
			want: together(goldenGrace, goldenHook, goldenEnv),
		},
		{
			name: "a service by annotation",
			pod:  socketPod(annotated(keys.AnnotationService, "nodes")),
			want: replaced(together(goldenGrace, goldenHook, goldenEnv, goldenIdentity), `"value":"socket"`, `"value":"nodes"`),
		},
		{
			name:   "a service that cannot be one",
			pod:    socketPod(annotated(keys.AnnotationService, "my.nodes")),
			want:   together(goldenGrace, goldenHook, goldenEnv),
			warned: []string{`"my.nodes" cannot be the name of a headless Service`},
		},
		{
			name: "a fleet whose name is no DNS label",
			pod: socketPod(annotated(keys.AnnotationService, "nodes"), func(p *corev1.Pod) {
				p.GenerateName = "my.socket-7d9f6c5b4-"
			}),
			want:   together(goldenGrace, goldenHook, goldenEnv),
			warned: []string{`cannot be a host name`},
		},
		{
			name: "a bare ReplicaSet's pod is of the fleet that its name says",
			pod: socketPod(func(p *corev1.Pod) {
				p.GenerateName = "socket-"
				delete(p.Labels, "pod-template-hash")
			}),
			want: replaced(together(goldenGrace, goldenHook, goldenEnv, goldenIdentity), "socket-7d9f6c5b4-x2k9z", "socket-x2k9z"),
		},
		{
			name: "a long name is cut to 58 characters and 5 more",
			pod: socketPod(annotated(keys.AnnotationService, "s"), func(p *corev1.Pod) {
				p.GenerateName = strings.Repeat("n", 70) + "-7d9f6c5b4-"
			}),
			want: replaced(replaced(together(goldenGrace, goldenHook, goldenEnv, goldenIdentity),
				"socket-7d9f6c5b4-x2k9z", strings.Repeat("n", 58)+"x2k9z"), `"value":"socket"`, `"value":"s"`),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := c.pod.DeepCopy()
			got := injection.Inject(c.pod, chance)
			var patch []string
			for _, operation := range got.Patch {
				text, err := json.Marshal(operation)
				if err != nil {
					t.Fatal(err)
				}
				patch = append(patch, canonical(t, string(text)))
			}
			var want []string
			for _, text := range c.want {
				want = append(want, canonical(t, text))
			}
			if diff := cmp.Diff(want, patch); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
			if len(got.Warnings) != len(c.warned) {
				t.Fatalf("warnings %q, want %d", got.Warnings, len(c.warned))
			}
			for i, word := range c.warned {
				if !strings.Contains(got.Warnings[i], word) {
					t.Errorf("warning %q does not say %q", got.Warnings[i], word)
				}
			}
			if diff := cmp.Diff(before, c.pod); diff != "" {
				t.Errorf("the pod was changed: %s", diff)
			}
		})
	}
}
