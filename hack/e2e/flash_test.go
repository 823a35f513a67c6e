//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// What both fleets of the flash crowd are told that a node carries, and what a node really takes before it refuses.
const (
	flashPerPod  = 40
	flashAtMost  = 50
	flashCalm    = 30
	flashCrowd   = 10 * flashCalm
	flashRise    = time.Minute
	flashStays   = 2 * time.Minute
	flashMost    = 12
	flashSamples = 250 * time.Millisecond
)

// A real flash crowd, ten times the clients within a minute, comes to two fleets at once: one is sized by the count, the
// other by plain KEDA on the number of connections, with the HPA's own behavior. Everything else is the same: the same
// nodes on the same machine, and shards that move to new nodes, which a plain fleet would not even have.
func TestFullFlashCrowdAgainstPlainKEDA(t *testing.T) {
	c := town.cluster
	full := func(p *corev1.PodTemplateSpec) {
		setEnv(&p.Spec.Containers[0], "TIDEGATE_WS_MAX_CONNECTIONS", strconv.Itoa(flashAtMost))
	}
	perPod := map[string]string{"connectionsPerPod": strconv.Itoa(flashPerPod)}
	ours := c.sockets(t, "flash", plan{min: 2, max: flashMost, trigger: perPod, pod: full})
	counter := newConnectionCounter(t, c)
	plain := c.sockets(t, "plain", plan{
		min: 2, max: flashMost, pod: full,
		trigger: map[string]string{"connectionsPerPod": strconv.Itoa(flashPerPod), "mode": "shadow"},
		spec:    counter.scales(flashPerPod),
	})
	crowds := [2]*crowd{ours.crowd(t, flashCalm), plain.crowd(t, flashCalm)}
	counter.counts(crowds[1])

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var bills [2]bill
	var watching sync.WaitGroup
	for i, crowd := range crowds {
		watching.Go(func() { bills[i] = crowd.bill(ctx) })
	}
	rise(t, crowds[:])
	linger(t, flashStays)
	stop()
	watching.Wait()

	for i, name := range []string{"the count", "plain KEDA on connections"} {
		b := bills[i]
		if b.clientSeconds == 0 || b.podSeconds == 0 {
			t.Fatalf("%s: nothing was measured: %+v", name, b)
		}
		town.figures.note(t.Name()+": "+name, b)
	}
	if bills[0].bad() > bills[1].bad() {
		t.Errorf("the count kept clients waiting or on full nodes for longer than plain KEDA: %s against %s", bills[0], bills[1])
	}
	// Whoever found no room on the plain fleet may wait for ever: its count and its shards fit only on average.
	crowds[0].connected(t, flashCrowd)
	for _, crowd := range crowds {
		crowd.settle(t)
	}
}

// rise lets the crowds grow evenly to their peak.
func rise(t *testing.T, crowds []*crowd) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(flashSamples)
	defer tick.Stop()
	for elapsed := time.Duration(0); elapsed < flashRise; elapsed = time.Since(began) {
		now := flashCalm + int(float64(flashCrowd-flashCalm)*elapsed.Seconds()/flashRise.Seconds())
		for _, c := range crowds {
			c.swarm.Want(now, talk)
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the story ended before the crowd had come")
		case <-tick.C:
		}
	}
	for _, c := range crowds {
		c.swarm.Want(flashCrowd, talk)
	}
}

// linger lets time pass: what is measured is what happens meanwhile.
func linger(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// bill is what a fleet's clients suffered and what its pods cost, in seconds. A client suffers while it waits for a
// connection, and on a node above 0.90 CPU, 0.92 memory or 500 ms p95.
type bill struct {
	waiting, full, clientSeconds, podSeconds float64
	peak                                     int
}

func (b bill) bad() float64 { return b.waiting + b.full }

func (b bill) String() string {
	return fmt.Sprintf("bad %.0f client-seconds of %.0f (%.1f %%: %.0f waiting, %.0f on full nodes), %.0f pod-seconds, %d pods at most",
		b.bad(), b.clientSeconds, 100*b.bad()/b.clientSeconds, b.waiting, b.full, b.podSeconds, b.peak)
}

// bill measures until ctx ends.
func (c *crowd) bill(ctx context.Context) bill {
	var b bill
	last := time.Now()
	tick := time.NewTicker(flashSamples)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return b
		case <-tick.C:
		}
		now := time.Now()
		seconds := now.Sub(last).Seconds()
		last = now
		s := c.swarm.Stats()
		b.clientSeconds += float64(s.Clients) * seconds
		b.waiting += float64(max(0, s.Clients-s.Connected)) * seconds
		if beats, err := c.band.beats(ctx); err == nil {
			for _, h := range beats {
				if h.CPU > 0.90 || h.Memory > 0.92 || h.P95Latency > 500*time.Millisecond {
					b.full += float64(h.Connections) * seconds
				}
			}
		}
		if pods, err := c.band.c.podsOf(ctx, c.band.id.Namespace, c.band.id.Name); err == nil {
			b.podSeconds += float64(len(pods)) * seconds
			b.peak = max(b.peak, len(pods))
		}
	}
}

// connectionCounter tells KEDA's metrics-api trigger how many clients of a crowd have a connection or want one: what the
// metrics of its nodes and of its gateway would tell.
type connectionCounter struct {
	address string

	mu    sync.Mutex
	crowd *crowd
}

func newConnectionCounter(t *testing.T, c *cluster) *connectionCounter {
	t.Helper()
	counter := &connectionCounter{}
	counter.address = c.answerKEDA(t, counter)
	return counter
}

// answerKEDA listens where the pods of KEDA reach this process, at the machine's address, which is Redis's too, until the
// story ends; it returns the address.
func (c *cluster) answerKEDA(t *testing.T, handler http.Handler) string {
	t.Helper()
	machine, _, err := net.SplitHostPort(c.about.Redis)
	if err != nil {
		t.Fatalf("the address of Redis in cluster.json: %v", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(machine, "0"))
	if err != nil {
		t.Fatalf("listen for KEDA: %v", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // it ends by Close
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// counts says whose connections are told from now on.
func (c *connectionCounter) counts(of *crowd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crowd = of
}

// ServeHTTP answers with the number of clients.
func (c *connectionCounter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clients := 0
	if c.crowd != nil {
		clients = c.crowd.swarm.Stats().Clients
	}
	_ = json.NewEncoder(w).Encode(map[string]int{"clients": clients}) // KEDA asks again
}

// scales makes a ScaledObject follow the counter, so many clients a pod, as KEDA and the HPA do by themselves.
func (c *connectionCounter) scales(perPod int) func(map[string]any) {
	return func(spec map[string]any) {
		delete(spec, "advanced")
		spec["triggers"] = append(spec["triggers"].([]any), map[string]any{
			"type": "metrics-api",
			"metadata": map[string]any{
				"url": "http://" + c.address + "/", "valueLocation": "clients", "targetValue": strconv.Itoa(perPod),
			},
		})
	}
}
