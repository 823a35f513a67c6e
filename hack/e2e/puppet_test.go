//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
)

// pauseImage runs nothing; hack/cluster loads it.
const pauseImage = "docker.io/local/pause:1"

// puppets is a band on a stage: its pods' heartbeats are written by the story.
type puppets struct {
	*band
	stage *stage

	mu sync.Mutex
	// live are the pods that may serve, held those that stay pending, exits what has left, in order.
	live  map[string]*puppet
	held  map[string]bool
	exits []exit
	// clients are spread evenly over the live puppets, unless own has a puppet's own number.
	clients int
	own     map[string]int
	// mute puppets send no heartbeats; hold keeps pods that come from now on pending.
	mute map[string]bool
	hold bool
}

type puppet struct {
	pod      *corev1.Pod
	ready    bool
	leaving  bool
	sequence uint64
	born     time.Time
}

// exit is a pod that was told to end: what it carried then, and what it was stamped with.
type exit struct {
	name    string
	cost    string
	stamped bool
	ready   bool
	clients int
	at      time.Time
}

// puppets makes a band of puppets on the stage and waits until its minimum is ready.
func (s *stage) puppets(t *testing.T, name string, p plan) *puppets {
	t.Helper()
	b := &band{c: s.c, id: fleet.ID{Namespace: namespace, Name: fresh(name)}}
	crew := &puppets{
		band: b, stage: s, live: map[string]*puppet{}, held: map[string]bool{}, own: map[string]int{}, mute: map[string]bool{},
	}
	s.mu.Lock()
	s.bands[b.id] = crew
	s.mu.Unlock()
	t.Cleanup(func() {
		b.remove(t)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.bands, b.id)
	})
	b.create(t, b.cast(s.name, p))
	b.scaledObject(t, p)
	return crew
}

// cast is the Deployment of a puppet band. Its pods ask for the drain hook as real ones do.
func (b *band) cast(stage string, p plan) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": b.id.Name}
	replicas, no, yes := int32(p.min), false, true
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: b.id.Name, Namespace: b.id.Namespace, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{
					"app.kubernetes.io/name": b.id.Name, puppetLabel: stage, keys.LabelInject: "true",
				}},
				Spec: corev1.PodSpec{
					SchedulerName: "nobody", AutomountServiceAccountToken: &no,
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: &yes, RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name: "puppet", Image: pauseImage, ImagePullPolicy: corev1.PullNever,
						Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 9090}},
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
					}},
				},
			},
		},
	}
	if p.pod != nil {
		p.pod(&d.Spec.Template)
	}
	if p.deployment != nil {
		p.deployment(d)
	}
	return d
}

// meet takes note of a pod and says whether the stage has work with it.
func (p *puppets) meet(pod *corev1.Pod) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.live[pod.Name]
	switch {
	case p.held[pod.Name]:
		return pod.DeletionTimestamp != nil
	case known == nil && pod.DeletionTimestamp != nil:
		return true
	case known == nil && p.hold:
		p.held[pod.Name] = true
		return false
	case known == nil:
		known = &puppet{born: time.Now()}
		p.live[pod.Name] = known
	}
	if pod.DeletionTimestamp != nil && !known.leaving {
		known.leaving = true
		p.exits = append(p.exits, p.exit(pod, known.ready))
	}
	known.pod, known.ready = pod, isReady(pod)
	return !known.ready || known.leaving
}

// exit is how a pod leaves; the caller holds the lock.
func (p *puppets) exit(pod *corev1.Pod, ready bool) exit {
	cost, stamped := pod.Annotations[keys.AnnotationDeletionCost]
	return exit{name: pod.Name, cost: cost, stamped: stamped, ready: ready, clients: p.share(pod.Name), at: time.Now()}
}

// bury takes note that a pod is no more.
func (p *puppets) bury(pod *corev1.Pod) {
	p.mu.Lock()
	known := p.live[pod.Name]
	if known == nil || !known.leaving {
		p.exits = append(p.exits, p.exit(pod, false))
	}
	delete(p.live, pod.Name)
	delete(p.held, pod.Name)
	p.mu.Unlock()
	if known != nil {
		p.say(p.stage.ctx, known, fleet.Gone, 0)
	}
}

// share is how many clients a puppet carries; the caller holds the lock.
func (p *puppets) share(name string) int {
	if own, ok := p.own[name]; ok {
		return own
	}
	working := slices.DeleteFunc(slices.Sorted(maps.Keys(p.live)), func(n string) bool { return !p.live[n].ready || p.live[n].leaving })
	if len(working) == 0 {
		return 0
	}
	n := p.clients / len(working)
	if slices.Index(working, name) < p.clients%len(working) && slices.Contains(working, name) {
		n++
	}
	return n
}

// beat lets every puppet tell its load.
func (p *puppets) beat(ctx context.Context) {
	type word struct {
		from    *puppet
		clients int
	}
	p.mu.Lock()
	var words []word
	for name, known := range p.live {
		if known.ready && !known.leaving && !p.mute[name] {
			words = append(words, word{known, p.share(name)})
		}
	}
	p.mu.Unlock()
	for _, w := range words {
		p.say(ctx, w.from, fleet.Serving, w.clients)
	}
}

func (p *puppets) say(ctx context.Context, from *puppet, state fleet.State, clients int) {
	p.mu.Lock()
	from.sequence++
	h := load.Heartbeat{
		Version: load.Version, Fleet: p.id, Node: fleet.NodeID(from.pod.Name), Incarnation: from.born.UnixMilli(), Sequence: from.sequence,
		State: state, URL: "ws://" + from.pod.Name + ".invalid/ws/connect", AdminURL: "http://127.0.0.1:1",
		CPU: 0.1, Memory: 0.1, Connections: clients, Uptime: time.Since(from.born),
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, beatInterval)
	defer cancel()
	_, _ = beat.Send(ctx, p.c.redis, h) // a heartbeat that was lost is what the policy is for
}

// carries sets how many clients the band has in all, spread evenly.
func (p *puppets) carries(clients int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients, p.own = clients, map[string]int{}
}

// set gives puppets numbers of their own.
func (p *puppets) set(own map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own = own
}

// silence stops the heartbeats of these puppets, and of no others.
func (p *puppets) silence(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = map[string]bool{}
	for _, name := range names {
		p.mute[name] = true
	}
}

// holds keeps pods that come from now on pending, or lets them in again; those that were held stay so.
func (p *puppets) holds(hold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = hold
}

// names are the puppets that serve, sorted.
func (p *puppets) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p.live)), func(n string) bool { return !p.live[n].ready || p.live[n].leaving })
}

// pending are the pods that are held, sorted.
func (p *puppets) pending() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.held))
}

// left are the exits from the given one on.
func (p *puppets) left(from int) []exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.exits[min(from, len(p.exits)):])
}

// plays waits until n puppets serve and the balancer has heard of all of them.
func (p *puppets) plays(t *testing.T, n int) {
	t.Helper()
	eventually(t, 2*time.Minute, fmt.Sprintf("%d puppets of %s serve", n, p.id), func() error {
		if names := p.names(); len(names) != n {
			return fmt.Errorf("%d puppets are ready", len(names))
		}
		s, err := p.status(t.Context())
		if err != nil {
			return err
		}
		if s.Totals.Serving+s.Totals.Leaving != n || s.Totals.Stale > 0 {
			return fmt.Errorf("the balancer sees %+v", s.Totals)
		}
		_, err = p.decision(t.Context())
		return err
	})
}
