//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// Half of the nodes say nothing: whatever the others say, nothing scales in.
func TestFaultStaleHeartbeatsHold(t *testing.T) {
	p := grown(t, "stale", 6)
	flat := p.flat(t, 6)
	p.silence(p.names()[:3]...)
	p.carries(20)
	always(t, time.Minute, "nothing scales in on half of the truth", func() error { return p.at(t, 6) })
	flat()
	p.silence()
	p.carries(20)
	p.has(t, 5, 3*time.Minute)
}

// Real nodes that are stopped: their silence is no calm.
func TestFaultStoppedNodesHold(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "stopped", plan{min: 2, max: 6, trigger: quick(), deployment: func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(4)) }})
	clients := b.crowd(t, 320)
	b.serves(t, 4)
	flat := b.flat(t, 4)
	stopped := b.pods(t)[:2]
	t.Cleanup(func() { c.wake(stopped) })
	c.signal(t, syscall.SIGSTOP, stopped...)
	clients.swarm.Want(40, talk)
	always(t, 15*time.Second, "nothing scales in while half of the nodes are silent", func() error { return b.at(t, 4) })
	flat()
	c.wake(stopped)
	clients.connected(t, 40)
	b.has(t, 2, 5*time.Minute)
	clients.settle(t)
}

// Pods that never get to serve are reported, not multiplied.
func TestFaultPodsThatNeverServeAreNotMultiplied(t *testing.T) {
	p := grown(t, "crash", 2)
	p.holds(true) // what comes from now on never serves
	p.carries(clientsFor(4))
	p.has(t, 4, 3*time.Minute)
	p.bounded(t, 4)
}

// bounded watches for five minutes that hardly more replicas are asked for than the need.
func (b *band) bounded(t *testing.T, need int) {
	t.Helper()
	const during = 5 * time.Minute
	most := 0
	always(t, during, "the target is bounded", func() error {
		n, err := b.replicas(t.Context())
		most = max(most, n)
		if err == nil && n > need+1 {
			err = fmt.Errorf("%d replicas are asked for: the need is %d", n, need)
		}
		return err
	})
	town.figures.note(fmt.Sprintf("%s: most replicas asked for in %s, need %d", t.Name(), during, need), most)
}

// Pods that crash as soon as they start are reported, not multiplied, however much the fleet has to carry.
func TestFaultCrashLoopIsNotMultiplied(t *testing.T) {
	b := town.cluster.crashing(t)
	b.overload(t, clientsFor(4))
	b.has(t, 4, 2*time.Minute)
	b.bounded(t, 4)
}

// overload lets the band's first two pods tell of so many clients, whether they run or not, until the story ends: a fleet
// in trouble, whose other pods never help.
func (b *band) overload(t *testing.T, clients int) {
	t.Helper()
	pods := b.pods(t)[:2]
	ctx, cancel := context.WithCancel(context.Background())
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(beatInterval)
		defer ticker.Stop()
		born := time.Now()
		for sequence := uint64(1); ; sequence++ {
			for _, pod := range pods {
				// A heartbeat that was lost is what the policy is for.
				_, _ = beat.Send(ctx, b.c.redis, load.Heartbeat{
					Version: load.Version, Fleet: b.id, Node: fleet.NodeID(pod.Name), Incarnation: born.UnixMilli(), Sequence: sequence,
					State: fleet.Serving, URL: "ws://" + pod.Name + ".invalid/ws/connect", AdminURL: "http://127.0.0.1:1",
					CPU: 0.1, Memory: 0.1, Connections: clients / len(pods), Uptime: time.Since(born),
				})
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		telling.Wait()
	})
}

// crashing is a band whose image exits at once.
func (c *cluster) crashing(t *testing.T) *band {
	t.Helper()
	b := &band{c: c}
	b.id.Namespace, b.id.Name = namespace, fresh("exits")
	t.Cleanup(func() { b.remove(t) })
	model, err := c.kube.AppsV1().Deployments(namespace).Get(t.Context(), socketName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := plan{min: 2, max: 8, trigger: quick(), pod: func(template *corev1.PodTemplateSpec) {
		template.Spec.Containers[0].Args = []string{"version"}
	}}
	b.copyService(t)
	b.create(t, b.renamed(model, p))
	b.scaledObject(t, p)
	eventually(t, 2*time.Minute, "the pods crash", func() error {
		for _, pod := range b.pods(t) {
			for _, s := range pod.Status.ContainerStatuses {
				if s.RestartCount > 1 {
					return nil
				}
			}
		}
		return errors.New("no container was started twice yet")
	})
	return b
}
