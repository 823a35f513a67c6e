//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/tidegate/tidegate/balancer/decisions"
	"github.com/tidegate/tidegate/internal/fleet"
)

// puppetLabel marks the pods of a stage; its value is the stage's name.
const puppetLabel = "tidegate.dev/puppet"

// beatInterval is how often a puppet tells its load: the policy's own interval.
const beatInterval = time.Second

// stage is a node of the cluster whose kubelet is the test: its pods run nothing, are ready as soon as they are bound,
// and end as soon as they are told to. To every controller they are pods like others; their load is what a story says.
type stage struct {
	c    *cluster
	name string
	ctx  context.Context
	// decisions hears of every fleet's, once for all gauges: a follower of its own for each of fifty would keep a core busy.
	decisions *decisions.Follower

	mu    sync.Mutex
	bands map[fleet.ID]*puppets
	busy  map[string]bool
	jobs  sync.WaitGroup
}

// stage raises a stage that stands until the story ends.
func (c *cluster) stage(t *testing.T) *stage {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{c: c, name: fresh("puppets"), ctx: ctx, bands: map[fleet.ID]*puppets{}, busy: map[string]bool{}}
	s.decisions = decisions.Follow(ctx, c.redis, time.Second, time.Second, slog.New(slog.DiscardHandler))
	s.register(t)
	factory := informers.NewSharedInformerFactoryWithOptions(c.kube, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = puppetLabel + "=" + s.name
	}))
	pods := factory.Core().V1().Pods().Informer()
	if _, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.seen(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { s.seen(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if pod, ok := o.(*corev1.Pod); ok {
				s.gone(pod)
			}
		},
	}); err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	s.jobs.Go(func() { s.breathe(ctx) })
	t.Cleanup(func() {
		cancel()
		factory.Shutdown()
		s.decisions.Wait()
		s.jobs.Wait()
		s.unregister()
	})
	return s
}

// register makes the node. It carries no hostname label, so that no topology rule counts it, and a taint that keeps
// everybody else away.
func (s *stage) register(t *testing.T) {
	t.Helper()
	if _, err := s.c.kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: story(t, nil)},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: puppetLabel, Effect: corev1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("raise a stage: %v", err)
	}
	// The controllers write a new node too, so a conflict is normal.
	eventually(t, time.Minute, "the stage is ready", func() error {
		node, err := s.c.kube.CoreV1().Nodes().Get(t.Context(), s.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		now := metav1.Now()
		node.Status.Conditions = []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Stage", LastHeartbeatTime: now, LastTransitionTime: now,
		}}
		_, err = s.c.kube.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
		return err
	})
	seconds := int32(40)
	if _, err := s.c.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Namespace: corev1.NamespaceNodeLease, Labels: story(t, nil)},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &s.name, LeaseDurationSeconds: &seconds, RenewTime: &metav1.MicroTime{Time: time.Now()}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatalf("give the stage a lease: %v", err)
	}
}

func (s *stage) unregister() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = s.c.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(ctx, s.name, metav1.DeleteOptions{})
	_ = s.c.kube.CoreV1().Nodes().Delete(ctx, s.name, metav1.DeleteOptions{})
}

// breathe keeps the node's lease alive and lets every puppet tell its load.
func (s *stage) breathe(ctx context.Context) {
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	for beats := 0; ; beats++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if beats%10 == 0 {
			s.renew(ctx)
		}
		s.mu.Lock()
		bands := make([]*puppets, 0, len(s.bands))
		for _, p := range s.bands {
			bands = append(bands, p)
		}
		s.mu.Unlock()
		var told sync.WaitGroup
		for _, p := range bands {
			told.Go(func() { p.beat(ctx) })
		}
		told.Wait()
	}
}

func (s *stage) renew(ctx context.Context) {
	leases := s.c.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return // the next breath tries again
	}
	lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
	_, _ = leases.Update(ctx, lease, metav1.UpdateOptions{})
}

// seen brings a pod one step on: bound, then ready; or gone, once it was told to end.
func (s *stage) seen(pod *corev1.Pod) {
	p := s.band(pod)
	if p == nil || !p.meet(pod) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// One job a pod at a time; its effect is the next event.
	if s.busy[pod.Name] || s.ctx.Err() != nil {
		return
	}
	s.busy[pod.Name] = true
	s.jobs.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.busy, pod.Name)
		}()
		s.act(pod)
	})
}

// act takes a pod's next steps. A conflict or an outage is tried again until the pod is done or the stage is struck.
func (s *stage) act(pod *corev1.Pod) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	_ = poll(ctx, func() error {
		pods := s.c.kube.CoreV1().Pods(pod.Namespace)
		now, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case now.DeletionTimestamp != nil:
			zero := int64(0)
			return pods.Delete(ctx, now.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
		case now.Spec.NodeName == "":
			target := corev1.ObjectReference{Kind: "Node", Name: s.name}
			if err := pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: now.Name, Namespace: now.Namespace}, Target: target}, metav1.CreateOptions{}); err != nil {
				return err
			}
			return fmt.Errorf("pod %s is bound and not ready yet", now.Name)
		case !isReady(now):
			_, err := pods.UpdateStatus(ctx, enlivened(now), metav1.UpdateOptions{})
			return err
		}
		return nil
	})
}

// enlivened is the status that a kubelet would report of a pod that runs and is ready.
func enlivened(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	now := metav1.Now()
	yes := true
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
	pod.Status.PodIP, pod.Status.HostIP = "192.0.2.1", "192.0.2.1"
	pod.Status.PodIPs, pod.Status.HostIPs = []corev1.PodIP{{IP: "192.0.2.1"}}, []corev1.HostIP{{IP: "192.0.2.1"}}
	pod.Status.Conditions = nil
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	pod.Status.ContainerStatuses = nil
	for _, container := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, Ready: true, Started: &yes,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return pod
}

func (s *stage) gone(pod *corev1.Pod) {
	if p := s.band(pod); p != nil {
		p.bury(pod)
	}
}

func (s *stage) band(pod *corev1.Pod) *puppets {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bands[fleet.ID{Namespace: pod.Namespace, Name: pod.Labels["app.kubernetes.io/name"]}]
}
