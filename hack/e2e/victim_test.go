//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidegate/tidegate/internal/keys"
)

// deal gives each puppet a number of clients that no other has, and returns the names, the least loaded first.
func (p *puppets) deal(t *testing.T) []string {
	t.Helper()
	names := p.names()
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	own := map[string]int{}
	for i, name := range names {
		own[name] = 10 + 7*i
	}
	p.set(own)
	eventually(t, 30*time.Second, "the balancer knows the new loads", func() error {
		s, err := p.status(t.Context())
		if err != nil {
			return err
		}
		for _, row := range s.Nodes {
			if want, ok := own[string(row.ID)]; ok && row.Connections != want {
				return fmt.Errorf("%s has %d clients for the balancer and %d by its heartbeat", row.ID, row.Connections, want)
			}
		}
		return nil
	})
	return names
}

// depart waits until so many pods have left since the given exit.
func (p *puppets) depart(t *testing.T, from, n int) []exit {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("%d puppets of %s leave", n, p.id), func() error {
		if left := p.left(from); len(left) < n {
			return fmt.Errorf("%d left", len(left))
		}
		return nil
	})
	return p.left(from)
}

// stamp writes a deletion cost as an earlier scale-in would have left it.
func (p *puppets) stamp(t *testing.T, name, cost string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, keys.AnnotationDeletionCost, cost)
	if _, err := p.c.kube.CoreV1().Pods(p.id.Namespace).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatalf("stamp %s: %v", name, err)
	}
}

// Twenty scale-ins, one node each. In half of them the one before was told milliseconds ago; in every fourth an old stamp
// lies on the pod with the most to lose.
func TestFullTheRightVictimTwentyTimes(t *testing.T) {
	const rounds = 20
	s := town.cluster.stage(t)
	p := s.puppets(t, "victims", plan{min: rounds + 2, max: 40, trigger: quick()})
	p.alone(t)
	p.plays(t, rounds+2)
	right, hurried := 0, 0
	var last time.Time
	var order []string
	for round := range rounds {
		if round%2 == 0 {
			p.plays(t, rounds+2-round)
			order = p.deal(t)
		} else {
			order = order[1:]
			hurried++
		}
		if round%4 == 0 {
			p.stamp(t, order[len(order)-1], "-2000000000")
		}
		from := len(p.left(0))
		if round%2 == 1 {
			t.Logf("the stamp before is %s old", rounded(time.Since(last)))
		}
		p.scale(t, rounds+1-round)
		left := p.depart(t, from, 1)
		last = left[0].at
		if left[0].name == order[0] && len(left) == 1 {
			right++
		} else {
			t.Errorf("round %d: %+v left, want %s, the least loaded", round, left, order[0])
		}
	}
	town.figures.note(t.Name()+": right victims, of which with a stamp just set", fmt.Sprintf("%d of %d, %d", right, rounds, hurried))
}

// A cut by hand from six to two stamps the four with the least to lose.
func TestFullACutByHandTakesTheRightFour(t *testing.T) {
	s := town.cluster.stage(t)
	p := s.puppets(t, "byhand", plan{min: 6, max: 10, trigger: quick()})
	p.alone(t)
	p.plays(t, 6)
	order := p.deal(t)
	if out, err := p.c.kubectl(t.Context(), "scale", "deployment/"+p.id.Name, "-n", p.id.Namespace, "--replicas=2"); err != nil {
		t.Fatal(err, out)
	}
	var gone []string
	for _, e := range p.depart(t, 0, 4) {
		if !e.stamped {
			t.Errorf("%s left without a stamp", e.name)
		}
		gone = append(gone, e.name)
	}
	slices.Sort(gone)
	if want := slices.Sorted(slices.Values(order[:4])); !slices.Equal(gone, want) {
		t.Errorf("%v left, want %v", gone, want)
	}
	p.plays(t, 2)
}

// A pod that does not run yet leaves first, whatever the stamps say; the stamps must know that.
func TestFullAPendingPodLeavesFirst(t *testing.T) {
	s := town.cluster.stage(t)
	p := s.puppets(t, "pending", plan{min: 4, max: 10, trigger: quick()})
	p.alone(t)
	p.plays(t, 4)
	p.holds(true)
	p.scale(t, 5)
	eventually(t, time.Minute, "the fifth pod is pending", func() error {
		if held := p.pending(); len(held) != 1 {
			return fmt.Errorf("%d pods are pending", len(held))
		}
		return nil
	})
	pending := p.pending()[0]
	order := p.deal(t)

	p.scale(t, 4)
	if left := p.depart(t, 0, 1); left[0].name != pending {
		t.Errorf("%+v left, want the pending pod %s", left, pending)
	}
	for _, pod := range p.pods(t) {
		if cost := pod.Annotations[keys.AnnotationDeletionCost]; pod.Name == order[0] && cost != "" && cost != "0" {
			t.Errorf("%s was stamped with %s for a scale-in that took the pending pod", pod.Name, cost)
		}
	}

	p.scale(t, 5)
	eventually(t, time.Minute, "another pod is pending", func() error {
		if held := p.pending(); len(held) != 1 {
			return fmt.Errorf("%d pods are pending", len(held))
		}
		return nil
	})
	pending = p.pending()[0]
	p.scale(t, 3)
	left := p.depart(t, 1, 2)
	slices.SortFunc(left, func(a, b exit) int { return cmp.Compare(a.clients, b.clients) })
	names := []string{left[0].name, left[1].name}
	if !slices.Contains(names, pending) || !slices.Contains(names, order[0]) {
		t.Errorf("%v left, want the pending pod %s and the least loaded %s", names, pending, order[0])
	}
}

// Twenty scale-ins under load, with real nodes and clients: the right one leaves by its preStop, and everybody resumes.
func TestFullScaleInUnderLoad(t *testing.T) {
	const most, least, rounds = 12, 2, 20
	c := town.cluster
	b := c.sockets(t, "underload", plan{min: most, max: most + 2, trigger: quick()})
	b.alone(t)
	clients := b.crowd(t, 240)
	began := time.Now()
	w := b.watch(t)
	right, n := 0, most
	for round := range rounds {
		if n == least {
			n = most
			b.scale(t, n)
			b.serves(t, n)
		}
		// Every other round follows at once, while the one before is still being drained.
		if round%2 == 0 {
			b.settled(t, n)
			b.serves(t, n)
			b.knows(t, 240)
		}
		n--
		b.scale(t, n)
		l := w.leavers(t, round+1)[round]
		if l.right(t) {
			right++
		}
		if round%2 == 0 {
			l.drained(t)
		}
	}
	b.settled(t, n)
	var left []string
	for round, l := range w.leavers(t, rounds) {
		left = append(left, l.pod.Name)
		if round%2 == 1 {
			l.drained(t)
		}
	}
	clients.connected(t, 240)
	clients.uncut(t, began)
	clients.resumed(t, began, left...)
	clients.settle(t)
	town.figures.note(t.Name()+": right victims", fmt.Sprintf("%d of %d", right, rounds))
}

// knows waits until the balancer has heard of every client.
func (b *band) knows(t *testing.T, clients int) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("the balancer knows %d clients of %s", clients, b.id), func() error {
		s, err := b.status(t.Context())
		if err == nil && s.Totals.Connections != clients {
			err = fmt.Errorf("it knows %d", s.Totals.Connections)
		}
		return err
	})
}

// settled waits until so many pods are there and no other is on its way out.
func (b *band) settled(t *testing.T, n int) {
	t.Helper()
	eventually(t, 3*time.Minute, fmt.Sprintf("only %d pods of %s are left", n, b.id), func() error {
		pods, err := b.c.kube.CoreV1().Pods(b.id.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + b.id.Name})
		if err != nil {
			return err
		}
		if len(pods.Items) != n {
			return fmt.Errorf("%d pods are there", len(pods.Items))
		}
		return nil
	})
}
