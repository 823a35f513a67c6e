//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tidegate/tidegate/internal/keys"
)

// admit creates a pod made after a puppet, takes it away again and returns what was admitted.
func (c *cluster) admit(t *testing.T, space string, change func(*corev1.Pod), options metav1.CreateOptions) *corev1.Pod {
	t.Helper()
	b := &band{c: c}
	b.id.Namespace, b.id.Name = space, fresh("lone")
	template := b.cast("none", plan{min: 1}).Spec.Template
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.GenerateName, pod.Namespace, pod.Labels = b.id.Name+"-", space, story(t, pod.Labels)
	change(pod)
	made, err := c.kube.CoreV1().Pods(space).Create(t.Context(), pod, options)
	if err != nil {
		t.Fatalf("create a pod: %v", err)
	}
	if len(options.DryRun) == 0 {
		zero := int64(0)
		t.Cleanup(func() {
			_ = c.kube.CoreV1().Pods(space).Delete(context.Background(), made.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
		})
	}
	return made
}

func hook(pod *corev1.Pod) *corev1.LifecycleHandler {
	if l := pod.Spec.Containers[0].Lifecycle; l != nil {
		return l.PreStop
	}
	return nil
}

// A pod that asks for it gets the hook, the grace, the nonce and a name under which it can be reached.
func TestFullAPodThatAsksGetsTheHook(t *testing.T) {
	for name, options := range map[string]metav1.CreateOptions{"for real": {}, "in a dry run": {DryRun: []string{metav1.DryRunAll}}} {
		t.Run(name, func(t *testing.T) {
			pod := town.cluster.admit(t, namespace, func(*corev1.Pod) {}, options)
			h := hook(pod)
			if h == nil || h.HTTPGet == nil || h.HTTPGet.Path != keys.PathDrain || h.HTTPGet.Host != "" {
				t.Fatalf("preStop is %+v", h)
			}
			if grace := pod.Spec.TerminationGracePeriodSeconds; grace == nil || *grace < 330 {
				t.Errorf("the grace period is %v: the drain may take 300 s", grace)
			}
			if !slices.ContainsFunc(pod.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == keys.EnvDrainNonce && e.Value != "" }) {
				t.Errorf("no nonce: anybody could drain the node: %v", pod.Spec.Containers[0].Env)
			}
			if pod.Spec.Hostname != pod.Name || pod.Spec.Subdomain == "" {
				t.Errorf("name %q, hostname %q, subdomain %q: nobody could reach it by name", pod.Name, pod.Spec.Hostname, pod.Spec.Subdomain)
			}
		})
	}
}

// A pod without the label is nobody's business here.
func TestFullAPodWithoutTheLabelStaysAsItIs(t *testing.T) {
	pod := town.cluster.admit(t, namespace, func(p *corev1.Pod) { delete(p.Labels, keys.LabelInject) }, metav1.CreateOptions{})
	if h := hook(pod); h != nil || pod.Spec.Subdomain != "" || len(pod.Spec.Containers[0].Env) > 0 {
		t.Errorf("it was changed: preStop %+v, subdomain %q, env %v", h, pod.Spec.Subdomain, pod.Spec.Containers[0].Env)
	}
}

// A preStop of the pod's own is kept, and whoever applies the pod is told.
func TestFullAPreStopOfItsOwnIsKeptWithAWarning(t *testing.T) {
	c := town.cluster
	own := &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/bye", Port: intstr.FromInt32(9090)}}
	set := func(p *corev1.Pod) { p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: own} }
	c.warned.take()
	pod := c.admit(t, namespace, set, metav1.CreateOptions{})
	if h := hook(pod); h == nil || h.HTTPGet == nil || h.HTTPGet.Path != "/bye" {
		t.Errorf("preStop is now %+v", h)
	}
	if said := strings.Join(c.warned.take(), "\n"); !strings.Contains(strings.ToLower(said), "prestop") {
		t.Errorf("nobody is told that the node will not drain: %q", said)
	}
	pod = c.admit(t, namespace, func(p *corev1.Pod) {
		set(p)
		p.Annotations = map[string]string{keys.AnnotationOverridePreStop: "true"}
	}, metav1.CreateOptions{})
	if h := hook(pod); h == nil || h.HTTPGet == nil || h.HTTPGet.Path != keys.PathDrain {
		t.Errorf("the pod asked for its preStop to be replaced, and it is %+v", h)
	}
}

// A namespace that is no fleet's is left alone: neither its pods nor its scale-ins are touched.
func TestFullAForeignNamespaceStaysAsItIs(t *testing.T) {
	c := town.cluster
	space := fresh("foreign")
	if _, err := c.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space, Labels: story(t, nil)}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.kube.CoreV1().Namespaces().Delete(context.Background(), space, metav1.DeleteOptions{})
	})
	b := &band{c: c}
	b.id.Namespace, b.id.Name = space, "stranger"
	b.create(t, b.cast("none", plan{min: 3}))
	var pods []corev1.Pod
	eventually(t, time.Minute, "the strangers are there", func() error {
		var err error
		pods, err = c.podsOf(t.Context(), space, b.id.Name)
		if err == nil && len(pods) != 3 {
			err = fmt.Errorf("%d pods are there", len(pods))
		}
		return err
	})
	b.scale(t, 2)
	eventually(t, time.Minute, "one stranger leaves", func() error {
		rest, err := c.podsOf(t.Context(), space, b.id.Name)
		if err == nil && len(rest) != 2 {
			err = fmt.Errorf("%d pods are there", len(rest))
		}
		pods = append(pods, rest...)
		return err
	})
	for i := range pods {
		if h := hook(&pods[i]); h != nil || pods[i].Annotations[keys.AnnotationDeletionCost] != "" {
			t.Errorf("%s was touched: preStop %+v, annotations %v", pods[i].Name, h, pods[i].Annotations)
		}
	}
}

// A scale-in that is only tried stamps nothing.
func TestFullADryRunStampsNothing(t *testing.T) {
	s := town.cluster.stage(t)
	p := s.puppets(t, "dryrun", plan{min: 3, max: 6, trigger: quick()})
	p.alone(t)
	p.plays(t, 3)
	p.deal(t)
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: p.id.Name, Namespace: p.id.Namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 1}}
	if _, err := p.c.kube.AppsV1().Deployments(p.id.Namespace).UpdateScale(t.Context(), p.id.Name, scale, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Fatal(err)
	}
	always(t, 2*time.Second, "a dry run changes nothing", func() error {
		for _, pod := range p.pods(t) {
			if cost, ok := pod.Annotations[keys.AnnotationDeletionCost]; ok {
				return fmt.Errorf("%s is stamped with %s", pod.Name, cost)
			}
		}
		return p.at(t, 3)
	})
}
