//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// exits follows the pods of a band that leave, each with its log and the loads at that moment.
type exits struct {
	band *band
	log  chan leaver
	seen []leaver
}

// leaver is a pod that was told to end.
type leaver struct {
	pod   corev1.Pod
	loads map[fleet.NodeID]int
	// others are the pods that could have left instead.
	others []string
	text   func() string
	at     time.Time
}

// watch begins to follow.
func (b *band) watch(t *testing.T) *exits {
	t.Helper()
	w := &exits{band: b, log: make(chan leaver, 64)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	events, err := b.c.kube.CoreV1().Pods(b.id.Namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + b.id.Name})
	if err != nil {
		t.Fatalf("watch the pods of %s: %v", b.id, err)
	}
	go func() {
		defer close(done)
		w.follow(ctx, events.ResultChan())
	}()
	t.Cleanup(func() {
		cancel()
		events.Stop()
		<-done
	})
	return w
}

// leavers waits for so many.
func (w *exits) leavers(t *testing.T, n int) []leaver {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for len(w.seen) < n {
		select {
		case l := <-w.log:
			w.seen = append(w.seen, l)
		case <-timeout:
			t.Fatalf("%d pods of %s left: want %d", len(w.seen), w.band.id, n)
		}
	}
	return w.seen[:n]
}

// right says whether the pod that left was the one with the least to lose.
func (l leaver) right(t *testing.T) {
	t.Helper()
	cost, stamped := l.pod.Annotations[keys.AnnotationDeletionCost]
	mine, known := l.loads[fleet.NodeID(l.pod.Name)]
	t.Logf("%s left with %d clients, stamped %q; the others: %v", l.pod.Name, mine, cost, l.loads)
	if !stamped {
		t.Errorf("%s left without a stamp: chance chose it", l.pod.Name)
	}
	if !known {
		t.Errorf("%s left and no heartbeat of it is known", l.pod.Name)
	}
	for _, other := range l.others {
		if n, ok := l.loads[fleet.NodeID(other)]; ok && n < mine {
			t.Errorf("%s left with %d clients although %s had %d", l.pod.Name, mine, other, n)
		}
	}
}

// drained says whether the injected preStop ran: the node drained because it was asked to, before any signal.
func (l leaver) drained(t *testing.T) {
	t.Helper()
	hook := l.pod.Spec.Containers[0].Lifecycle
	if hook == nil || hook.PreStop == nil || hook.PreStop.HTTPGet == nil || hook.PreStop.HTTPGet.Path != keys.PathDrain {
		t.Errorf("%s has no injected preStop: %+v", l.pod.Name, hook)
	}
	text := l.text()
	if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Contains(line, "drain") }) {
		t.Errorf("the log of %s says nothing of a drain:\n%s", l.pod.Name, text)
	}
}

// follow notes each pod when it is first told to end, with the loads that the nodes told last before that.
func (w *exits) follow(ctx context.Context, events <-chan watch.Event) {
	known, noted := map[string]bool{}, map[types.UID]bool{}
	loads := w.loads(ctx, nil)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			loads = w.loads(ctx, loads)
		case event, open := <-events:
			if !open {
				return
			}
			pod, ok := event.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			if pod.DeletionTimestamp == nil && event.Type != watch.Deleted {
				known[pod.Name] = true
				continue
			}
			delete(known, pod.Name)
			if noted[pod.UID] {
				continue
			}
			noted[pod.UID] = true
			l := leaver{pod: *pod, loads: loads, text: w.read(ctx, pod), at: time.Now()}
			for name := range known {
				l.others = append(l.others, name)
			}
			w.log <- l
		}
	}
}

// loads are the clients of each node, as its newest heartbeat says; without Redis the last that were known.
func (w *exits) loads(ctx context.Context, last map[fleet.NodeID]int) map[fleet.NodeID]int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	beats, err := w.band.beats(ctx)
	if err != nil {
		return last
	}
	loads := map[fleet.NodeID]int{}
	for id, h := range beats {
		loads[id] = h.Connections
	}
	return loads
}

// read follows the pod's log until the pod is gone; the returned function waits for that.
func (w *exits) read(ctx context.Context, pod *corev1.Pod) func() string {
	var text bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() {
		stream, err := w.band.c.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
		if err != nil {
			fmt.Fprintf(&text, "the log cannot be read: %v\n", err)
			return
		}
		defer stream.Close()
		_, _ = io.Copy(&text, stream) // it ends when the pod does
	})
	return func() string {
		reading.Wait()
		return text.String()
	}
}
