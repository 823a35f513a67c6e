//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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
	pod corev1.Pod
	// readings are the loads of the nodes in the last seconds before, the newest last.
	readings []reading
	// others are the pods that could have left instead.
	others []string
	text   func() string
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

// reading is how many clients each node had at one time.
type reading struct {
	at    time.Time
	loads map[fleet.NodeID]int
}

// judged is how old a reading may be that the choice was made from: a heartbeat, a look of the balancer at it, and the
// time for which the webhook holds a scale-in.
const judged = 2500 * time.Millisecond

// right says whether the pod that left was the one with the least to lose, by what could be known when it was chosen.
func (l leaver) right(t *testing.T) bool {
	t.Helper()
	cost, stamped := l.pod.Annotations[keys.AnnotationDeletionCost]
	if !stamped {
		t.Errorf("%s left without a stamp: chance chose it", l.pod.Name)
		return false
	}
	for _, r := range l.readings {
		if mine := r.loads[fleet.NodeID(l.pod.Name)]; l.complete(r) && l.least(r, mine) {
			t.Logf("%s left with %d clients, stamped %q; all: %v", l.pod.Name, mine, cost, slices.Sorted(maps.Values(r.loads)))
			return true
		}
	}
	t.Errorf("%s left, stamped %q, although others had less to lose: %+v", l.pod.Name, cost, l.readings)
	return false
}

// complete says that a reading knows all pods of which one had to leave: one that lacks a node proves nothing.
func (l leaver) complete(r reading) bool {
	for _, name := range append([]string{l.pod.Name}, l.others...) {
		if _, known := r.loads[fleet.NodeID(name)]; !known {
			return false
		}
	}
	return true
}

func (l leaver) least(r reading, mine int) bool {
	for _, other := range l.others {
		if r.loads[fleet.NodeID(other)] < mine {
			return false
		}
	}
	return true
}

// logged is one line of a node's log.
type logged struct {
	Message string `json:"msg"`
	Reason  string `json:"reason"`
	// Left is how many sessions a drain left behind.
	Left int `json:"count"`
}

// What a node says of its end. The reason tells who began it: a preStop that asks for the drain, or a signal.
const (
	drainBegins, drainEnded, nodeStopped = "drain begins", "drain ended", "node stopped"
	byPreStop                            = "drain"
)

// drained says whether the injected preStop ran: the node drained because it was asked to, before any signal, to the end.
func (l leaver) drained(t *testing.T) {
	t.Helper()
	hook := l.pod.Spec.Containers[0].Lifecycle
	if hook == nil || hook.PreStop == nil || hook.PreStop.HTTPGet == nil || hook.PreStop.HTTPGet.Path != keys.PathDrain {
		t.Errorf("%s has no injected preStop: %+v", l.pod.Name, hook)
	}
	text := l.text()
	var told []logged
	for line := range strings.Lines(text) {
		var said logged
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			continue // not our logger's
		}
		switch said.Message {
		case drainBegins, drainEnded, nodeStopped:
			told = append(told, said)
		}
	}
	if len(told) < 2 || told[0] != (logged{Message: drainBegins, Reason: byPreStop}) || told[1] != (logged{Message: drainEnded, Reason: byPreStop}) {
		t.Errorf("%s did not drain to the end by its preStop before any signal: %+v\n%s", l.pod.Name, told, text)
	}
}

// follow notes each pod when it is first told to end, with the loads that the nodes told last before that.
func (w *exits) follow(ctx context.Context, events <-chan watch.Event) {
	known, noted := map[string]bool{}, map[types.UID]bool{}
	readings := w.look(ctx, nil)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			readings = w.look(ctx, readings)
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
			w.log <- leaver{pod: *pod, readings: slices.Clone(readings), text: w.read(ctx, pod), others: slices.Collect(maps.Keys(known))}
		}
	}
}

// look adds what the newest heartbeats say and forgets what is too old; without Redis the last that was known stays.
func (w *exits) look(ctx context.Context, readings []reading) []reading {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	beats, err := w.band.beats(ctx)
	if err != nil {
		return readings
	}
	now := reading{at: time.Now(), loads: map[fleet.NodeID]int{}}
	for id, h := range beats {
		now.loads[id] = h.Connections
	}
	readings = slices.DeleteFunc(slices.Clone(readings), func(r reading) bool { return now.at.Sub(r.at) > judged })
	return append(readings, now)
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
