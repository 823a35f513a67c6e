//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// storyLabel is on everything that stories make, so that the next run finds what one that was ended in the middle left.
const storyLabel = "tidegate.dev/story"

// story adds the label of this story.
func story(t *testing.T, labels map[string]string) map[string]string {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	out := map[string]string{storyLabel: name}
	maps.Copy(out, labels)
	return out
}

// reserve keeps other runs off the cluster until this process ends: none may be under way while one sweeps and installs.
func (c *cluster) reserve(alone bool) error {
	file, err := os.OpenFile(filepath.Join(filepath.Dir(c.described), "e2e.lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("reserve the cluster: %w", err)
	}
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX
	}
	if err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another run of these tests is under way on this cluster (%s): wait for its end: %w", file.Name(), err)
	}
	c.reserved = file // the lock lasts as long as the file is open
	return nil
}

// sweep takes away what an earlier run left: processes that stand still, a node that takes no pods, and the stories' fleets,
// namespaces and stages.
func (c *cluster) sweep(ctx context.Context) error {
	c.thaw(ctx)
	all := []string{"--selector=" + storyLabel, "--ignore-not-found", "--wait=false"}
	// The order matters: without its ScaledObject nobody scales a Deployment that is about to go.
	for _, args := range [][]string{
		{"uncordon", "--selector=!" + storyLabel},
		append([]string{"delete", "scaledobjects.keda.sh", "--all-namespaces"}, all...),
		append([]string{"delete", "deployments.apps,services", "--all-namespaces"}, all...),
		append([]string{"delete", "namespaces,nodes"}, all...),
		append([]string{"delete", "leases.coordination.k8s.io", "--namespace=" + corev1.NamespaceNodeLease}, all...),
	} {
		if out, err := c.kubectl(ctx, args...); err != nil {
			return fmt.Errorf("sweep: %w\n%s", err, out)
		}
	}
	if err := poll(ctx, func() error { return c.sweepPods(ctx) }); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return c.forget(ctx)
}

// sweepPods ends the stories' pods at once, those of stages too, whose kubelet is gone.
func (c *cluster) sweepPods(ctx context.Context) error {
	pods, err := c.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: storyLabel})
	if err != nil {
		return fmt.Errorf("list the pods of stories: %w", err)
	}
	now := int64(0)
	for i := range pods.Items {
		pod := &pods.Items[i]
		_ = c.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}) // the next look tells
	}
	if n := len(pods.Items); n > 0 {
		return fmt.Errorf("%d pods of earlier stories are there", n)
	}
	return nil
}

// thaw lets everything run on that a story had stopped.
func (c *cluster) thaw(ctx context.Context) {
	for _, pid := range c.about.PIDs {
		if pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	if pods, err := c.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{}); err == nil {
		c.wake(pods.Items)
	}
}

// forget removes the stories' fleets from Redis and Kafka.
func (c *cluster) forget(ctx context.Context) error {
	fleets, err := c.redis.SMembers(ctx, keys.Fleets).Result()
	if err != nil {
		return fmt.Errorf("read the fleets in Redis: %w", err)
	}
	for _, text := range fleets {
		space, name, _ := strings.Cut(text, "/")
		if space != namespace || name == socketName {
			continue
		}
		id := fleet.ID{Namespace: space, Name: name}
		if err := c.redis.SRem(ctx, keys.Fleets, text).Err(); err != nil {
			return fmt.Errorf("forget fleet %s: %w", text, err)
		}
		if err := c.redis.Del(ctx, keys.Nodes(id)).Err(); err != nil {
			return fmt.Errorf("forget fleet %s: %w", text, err)
		}
		c.forgetTopic(id)
	}
	return nil
}

// images are the ids of the images that are loaded now, by the Deployment that runs them.
type images map[string]string

// loaded asks the container runtime what it has under the names of the shipped images: it starts a pod of each.
func (c *cluster) loaded(ctx context.Context) (images, error) {
	byName, found := map[string]string{}, images{}
	for _, name := range shipped() {
		d, err := c.kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read Deployment %s: %w", name, err)
		}
		container := d.Spec.Template.Spec.Containers[0]
		id, known := byName[container.Image]
		if !known {
			if id, err = c.imageID(ctx, container); err != nil {
				return nil, fmt.Errorf("find out which image %s is: %w", container.Image, err)
			}
			byName[container.Image] = id
		}
		found[name] = id
	}
	return found, nil
}

// imageID starts a container of the model's image that ends at once; how it ends does not matter.
func (c *cluster) imageID(ctx context.Context, model corev1.Container) (string, error) {
	b := &band{c: c, id: fleet.ID{Namespace: namespace, Name: fresh("image")}}
	spec := b.cast("none", plan{min: 1}).Spec.Template.Spec
	spec.SchedulerName, spec.RestartPolicy = corev1.DefaultSchedulerName, corev1.RestartPolicyNever
	probe := &spec.Containers[0]
	probe.Image, probe.ImagePullPolicy, probe.Args = model.Image, model.ImagePullPolicy, []string{"version"}
	if len(model.Command) > 0 {
		probe.Command = model.Command[:1]
	}
	pods := c.kube.CoreV1().Pods(namespace)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: b.id.Name, Labels: map[string]string{storyLabel: "install"}}, Spec: spec}
	// A namespace that is new has no service account for a moment.
	if err := poll(ctx, func() error {
		_, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		return err
	}); err != nil {
		return "", fmt.Errorf("start a pod of it: %w", err)
	}
	defer func() {
		now := int64(0)
		_ = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}) // the next run sweeps
	}()
	id := ""
	err := poll(ctx, func() error {
		p, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := p.Status.ContainerStatuses; len(s) > 0 && s[0].ImageID != "" && s[0].State.Waiting == nil {
			id = s[0].ImageID
			return nil
		}
		return fmt.Errorf("pod %s has not started: %+v", pod.Name, p.Status.ContainerStatuses)
	})
	return id, err
}

// renew starts the Deployments anew whose pods run an older image of the same name: an apply does not see that.
func (c *cluster) renew(ctx context.Context, wanted images) error {
	for _, name := range shipped() {
		if c.runs(ctx, name, wanted[name]) == nil {
			continue
		}
		if out, err := c.kubectl(ctx, "rollout", "restart", "deployment/"+name, "--namespace="+namespace); err != nil {
			return fmt.Errorf("renew: %w\n%s", err, out)
		}
	}
	return nil
}

// current waits until no pod of the product, not even one on its way out, runs another image than the loaded one.
func (c *cluster) current(ctx context.Context, wanted images) error {
	return poll(ctx, func() error {
		for _, name := range shipped() {
			if err := c.runs(ctx, name, wanted[name]); err != nil {
				return err
			}
		}
		return nil
	})
}

// runs says whether all pods of a Deployment that have started run this image.
func (c *cluster) runs(ctx context.Context, name, id string) error {
	pods, err := c.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	if err != nil {
		return fmt.Errorf("list the pods of %s: %w", name, err)
	}
	for i := range pods.Items {
		for _, s := range pods.Items[i].Status.ContainerStatuses {
			if s.ImageID != "" && s.ImageID != id {
				return fmt.Errorf("pod %s runs image %s: %s is loaded", pods.Items[i].Name, s.ImageID, id)
			}
		}
	}
	return nil
}

// hook starts the shipped fleet anew where its pods came before the webhook, as manifests/README.md asks for: such pods have no
// drain hook and no name that the gateway could find.
func (c *cluster) hook(ctx context.Context) error {
	if c.hooked(ctx) == nil {
		return nil
	}
	if out, err := c.kubectl(ctx, "rollout", "restart", "deployment/"+socketName, "--namespace="+namespace); err != nil {
		return fmt.Errorf("give pods their drain hook: %w\n%s", err, out)
	}
	return poll(ctx, func() error { return c.hooked(ctx) })
}

// hooked says whether every pod of the shipped fleet passed the webhook.
func (c *cluster) hooked(ctx context.Context) error {
	pods, err := c.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + socketName})
	if err != nil {
		return fmt.Errorf("list the pods of %s: %w", socketName, err)
	}
	for i := range pods.Items {
		if pods.Items[i].Spec.Containers[0].Lifecycle == nil {
			return fmt.Errorf("pod %s has no drain hook", pods.Items[i].Name)
		}
	}
	return nil
}

// install applies the overlay and waits until the product runs, from the images that are loaded now.
func (c *cluster) install(ctx context.Context, overlay string) error {
	began := time.Now()
	out, err := c.kubectl(ctx, "apply", "-k", overlay)
	if err != nil {
		return fmt.Errorf("install: %w\n%s", err, out)
	}
	wanted, err := c.loaded(ctx)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := c.renew(ctx, wanted); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	for _, step := range []func(context.Context) error{
		c.ready,
		c.hook,
		c.ready,
		func(ctx context.Context) error { return c.current(ctx, wanted) },
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	town.figures.note("install: kubectl apply -k until everything is ready", time.Since(began))
	town.figures.note("the image that was tested", wanted[balancerName])
	return nil
}
