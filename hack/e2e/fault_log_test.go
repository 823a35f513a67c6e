//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/keys"
)

// busy is a band of real nodes with a crowd. At the end the crowd leaves, and nothing of it may stay behind in the nodes.
func busy(t *testing.T, name string) (*band, *crowd) {
	t.Helper()
	b := town.cluster.sockets(t, name, plan{min: 3, max: 6, trigger: quick()})
	before := b.footprint(t)
	clients := b.crowd(t, 150)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		clients.end()
		b.shrinks(t, before)
	})
	return b, clients
}

// footprint is what the nodes of a band hold of their machine, the largest of each.
type footprint struct{ goroutines, files float64 }

// footprint reads the nodes' metrics; it works also when the story is over.
func (b *band) footprint(t *testing.T) footprint {
	t.Helper()
	ctx, cancel := deadline(time.Minute)
	defer cancel()
	beats, err := b.beats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var most footprint
	for _, h := range beats {
		body, err := b.c.fetch(ctx, h.AdminURL+keys.PathMetrics)
		if err != nil {
			continue // a node that has gone holds nothing
		}
		most.goroutines = max(most.goroutines, metric(body, "go_goroutines"))
		most.files = max(most.files, metric(body, "process_open_fds"))
	}
	return most
}

// metric is the value of a metric without labels; 0 when there is none.
func metric(body []byte, name string) float64 {
	for line := range strings.Lines(string(body)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err == nil {
				return value
			}
		}
	}
	return 0
}

// shrinks waits until the nodes hold about as much as before the crowd: connections to Kafka and Redis may have been added.
func (b *band) shrinks(t *testing.T, before footprint) {
	t.Helper()
	const moreGoroutines, moreFiles = 60, 20
	ctx, cancel := deadline(time.Minute)
	defer cancel()
	var after footprint
	if err := poll(ctx, func() error {
		if after = b.footprint(t); after.goroutines > before.goroutines+moreGoroutines || after.files > before.files+moreFiles {
			return fmt.Errorf("a node holds %+v, before the crowd it was %+v", after, before)
		}
		return nil
	}); err != nil {
		t.Errorf("the crowd left and something of it stayed: %v", err)
	}
	town.figures.note(t.Name()+": goroutines and files of the largest node, before and after", fmt.Sprintf("%v, %v", before, after))
}

// Redis is killed and comes back with its log after three seconds: nobody is declared dead, no shard moves, nothing is
// lost, and nobody who is connected notices.
func TestFaultRedisRestart(t *testing.T) {
	c := town.cluster
	b, clients := busy(t, "redis")
	before, err := b.owners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clients.flow(t, 200)
	flat := b.flat(t, 3)
	began := time.Now()
	redis := component{c, "redis"}
	start := redis.kill(t)
	always(t, 3*time.Second, "everybody stays connected without Redis", func() error {
		if s := clients.swarm.Stats(); s.Connected != 150 {
			return fmt.Errorf("%d of 150 are", s.Connected)
		}
		return nil
	})
	start()
	clients.flow(t, 300)
	b.serves(t, 3)
	clients.connected(t, 150)
	if after, err := b.owners(t.Context()); err != nil || !slices.Equal(after, before) {
		t.Errorf("shards moved (%v): owned by %v before and by %v after", err, before, after)
	}
	flat()
	clients.uncut(t, began)
	clients.settle(t)
}

// Redis comes back empty: sessions are written anew, tables and fences never go back.
func TestFaultRedisLostItsData(t *testing.T) {
	c := town.cluster
	b, clients := busy(t, "lostdata")
	before, err := b.decision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table, err := b.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clients.flow(t, 200)
	flat := b.flat(t, 3)
	began := time.Now()
	redis := component{c, "redis"}
	start := redis.stop(t)
	if err := empty(c.about.RedisData); err != nil {
		t.Fatal(err)
	}
	start()
	eventually(t, 2*time.Minute, "it is decided anew, above what was", func() error {
		d, err := b.decision(t.Context())
		if err == nil && (d.Fence < before.Fence || d.Desired != before.Desired) {
			err = fmt.Errorf("decision %d of fence %d, after %d of %d", d.Desired, d.Fence, before.Desired, before.Fence)
		}
		return err
	})
	town.figures.note(t.Name()+": stopped until it was decided anew", time.Since(began))
	clients.flow(t, 300)
	b.serves(t, 3)
	if s, err := b.status(t.Context()); err != nil || s.TableVersion < table.TableVersion {
		t.Errorf("the table went back from %d to %d (%v)", table.TableVersion, s.TableVersion, err)
	}
	clients.connected(t, 150)
	flat()
	clients.settle(t)
}

// empty removes what is in a folder.
func empty(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("empty %s: %w", folder, err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return fmt.Errorf("empty %s: %w", folder, err)
		}
	}
	return nil
}

// Kafka is killed and comes back: nothing is accepted meanwhile, connections stay, and then it goes on.
func TestFaultKafkaRestart(t *testing.T) {
	c := town.cluster
	b, clients := busy(t, "kafka")
	clients.flow(t, 200)
	flat := b.flat(t, 3)
	kafka := component{c, "kafka"}
	down := time.Now()
	start := kafka.kill(t)
	start()
	clients.flow(t, 300)
	town.figures.note(t.Name()+": killed until messages were accepted again", time.Since(down))
	clients.connected(t, 150)
	flat()
	clients.uncut(t, down)
	clients.settle(t)
	b.serves(t, 3)
}

// The API server stands still, then dies: clients notice nothing, the balancer holds.
func TestFaultAPIServerDown(t *testing.T) {
	c := town.cluster
	b, clients := busy(t, "apiserver")
	before, err := b.decision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clients.flow(t, 200)
	server := component{c, "kube-apiserver"}
	began := time.Now()
	resume := server.pause(t)
	holds := func() error {
		d, err := b.decision(t.Context())
		if err == nil && d.Desired != before.Desired {
			err = fmt.Errorf("decided %d without the API server, %d before", d.Desired, before.Desired)
		}
		if s := clients.swarm.Stats(); err == nil && s.Connected != 150 {
			err = fmt.Errorf("%d of 150 clients are connected", s.Connected)
		}
		return err
	}
	always(t, 20*time.Second, "the fleet lives without the API server", holds)
	resume()
	eventually(t, 2*time.Minute, "the API server answers", func() error {
		_, err := c.kube.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
		return err
	})
	start := server.kill(t)
	always(t, 10*time.Second, "the fleet lives without the API server", holds)
	start()
	eventually(t, 2*time.Minute, "the API server answers", func() error {
		_, err := c.kube.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
		return err
	})
	for _, name := range []string{balancerName, scalerName, webhookName, socketName} {
		c.available(t, namespace, name)
	}
	b.serves(t, 3)
	clients.connected(t, 150)
	clients.uncut(t, began)
	clients.settle(t)
	clients.swarm.Want(320, talk)
	b.has(t, 4, 5*time.Minute)
}
