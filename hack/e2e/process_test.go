//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// processes finds the processes of a pod's containers by their cgroup, the pause container's left out.
func processes(pod *corev1.Pod) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read the processes: %w", err)
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		groups, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		if err != nil || !bytes.Contains(groups, []byte(pod.UID)) {
			continue // it has ended, or is somebody else's
		}
		command, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil || len(command) == 0 || strings.HasPrefix(string(command), "/pause") {
			continue
		}
		found = append(found, pid)
	}
	return found, nil
}

// signal sends a signal to every process of the pods' containers.
func (c *cluster) signal(t *testing.T, signal syscall.Signal, pods ...corev1.Pod) {
	t.Helper()
	for i := range pods {
		pids, err := processes(&pods[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(pids) == 0 {
			t.Fatalf("pod %s has no process to send %s to", pods[i].Name, signal)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, signal); err != nil {
				t.Fatalf("send %s to process %d of %s: %v", signal, pid, pods[i].Name, err)
			}
		}
	}
}

// podsOf are the pods of a Deployment that are not on their way out.
func (c *cluster) podsOf(ctx context.Context, space, deployment string) ([]corev1.Pod, error) {
	d, err := c.kube.AppsV1().Deployments(space).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Deployment %s: %w", deployment, err)
	}
	list, err := c.kube.CoreV1().Pods(space).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", deployment, err)
	}
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

// kill sends SIGKILL to the first count pods of a Deployment; the kubelet starts their containers anew, which the returned
// function waits for.
func (c *cluster) kill(t *testing.T, space, deployment string, count int) (revived func() time.Duration) {
	t.Helper()
	pods, err := c.podsOf(t.Context(), space, deployment)
	if err != nil || len(pods) < count {
		t.Fatalf("kill %d pods of %s: there are %d (%v)", count, deployment, len(pods), err)
	}
	return c.killPods(t, pods[:count]...)
}

// killPods does that to these pods.
func (c *cluster) killPods(t *testing.T, pods ...corev1.Pod) (revived func() time.Duration) {
	t.Helper()
	began := time.Now()
	c.signal(t, syscall.SIGKILL, pods...)
	return func() time.Duration {
		t.Helper()
		eventually(t, 3*time.Minute, "what was killed runs again", func() error {
			for i := range pods {
				pod, err := c.kube.CoreV1().Pods(pods[i].Namespace).Get(t.Context(), pods[i].Name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				if restarts(pod) <= restarts(&pods[i]) || !isReady(pod) {
					return fmt.Errorf("%s was started %d times anew, ready %v", pod.Name, restarts(pod)-restarts(&pods[i]), isReady(pod))
				}
			}
			return nil
		})
		return time.Since(began)
	}
}

func restarts(pod *corev1.Pod) (n int32) {
	for _, s := range pod.Status.ContainerStatuses {
		n += s.RestartCount
	}
	return n
}

// available waits until all replicas of a Deployment are ready.
func (c *cluster) available(t *testing.T, space, deployment string) time.Duration {
	t.Helper()
	return eventually(t, 3*time.Minute, deployment+" is whole again", func() error { return c.whole(t.Context(), space, deployment) })
}

// mended waits for that also when the story is over.
func (c *cluster) mended(t *testing.T, space, deployment string) {
	t.Helper()
	ctx, cancel := deadline(3 * time.Minute)
	defer cancel()
	if err := poll(ctx, func() error { return c.whole(ctx, space, deployment) }); err != nil {
		t.Errorf("%s is not whole again: %v", deployment, err)
	}
}

// whole says whether all replicas of a Deployment, and no older ones, are there and ready.
func (c *cluster) whole(ctx context.Context, space, deployment string) error {
	d, err := c.kube.AppsV1().Deployments(space).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read Deployment %s: %w", deployment, err)
	}
	want := *d.Spec.Replicas
	if s := d.Status; s.ObservedGeneration < d.Generation || s.ReadyReplicas != want || s.UpdatedReplicas != want || s.Replicas != want {
		return fmt.Errorf("%s has %d of %d replicas ready, %d of %d are new", deployment, s.ReadyReplicas, want, s.UpdatedReplicas, s.Replicas)
	}
	return nil
}

// component is a process beside the pods: redis, kafka, kube-apiserver.
type component struct {
	c    *cluster
	name string
}

// tool runs a command of hack/cluster.
func (p component) tool(t *testing.T, verb string) {
	t.Helper()
	// Not the story's own context: what was broken must be mended after it, too.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, os.Getenv("TIDEGATE_CLUSTER_TOOL"), verb, p.name).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", verb, p.name, err, out)
	}
}

// kill ends the component as a crash would and waits for that; the returned function starts it, and so does the end of the
// story.
func (p component) kill(t *testing.T) (start func()) {
	t.Helper()
	return p.end(t, "kill")
}

// stop ends the component as an operator would.
func (p component) stop(t *testing.T) (start func()) {
	t.Helper()
	return p.end(t, "stop")
}

func (p component) end(t *testing.T, verb string) (start func()) {
	t.Helper()
	start = sync.OnceFunc(func() { p.tool(t, "start") })
	t.Cleanup(start)
	p.tool(t, verb)
	return start
}

// signal sends a signal to the component's process.
func (p component) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.c.refresh(); err != nil {
		t.Fatal(err)
	}
	pid := p.c.about.PIDs[p.name]
	if pid <= 1 {
		t.Fatalf("cluster.json knows no process of %s: %v", p.name, p.c.about.PIDs)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatalf("send %s to %s: %v", signal, p.name, err)
	}
}

// pause stops the component's process; the returned function lets it go on, and so does the end of the story.
func (p component) pause(t *testing.T) (resume func()) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	stopped := true
	resume = func() {
		if stopped {
			stopped = false
			p.signal(t, syscall.SIGCONT)
		}
	}
	t.Cleanup(resume)
	return resume
}

// wake continues the pods' processes; one that ended meanwhile needs no waking.
func (c *cluster) wake(pods []corev1.Pod) {
	for i := range pods {
		pids, err := processes(&pods[i])
		if err != nil {
			continue
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}
