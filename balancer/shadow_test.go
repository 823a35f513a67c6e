package balancer

import (
	"encoding/json"
	"testing"

	"github.com/tidegate/tidegate/balancer/cluster"
	"github.com/tidegate/tidegate/balancer/page"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// shown is what the replica's page shows of the fleet.
func (r *replica) shown() page.Snapshot {
	r.w.t.Helper()
	_, body := get(r.w.t, r.Handler(), "/api/v1/status")
	var answer struct{ Snapshot page.Snapshot }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		r.w.t.Fatal(err)
	}
	return answer.Snapshot
}

// told is what a test says that Kubernetes tells.
type told struct{ view cluster.View }

func (f *told) Look(fleet.ID) cluster.View { return f.view }

func TestAShadowsPageAndMetricsShowBothCounts(t *testing.T) {
	w := newWorld(t, ids(3)...)
	p := w.policy
	p.Mode, p.MinReplicas = policy.Shadow, 5
	facts := &told{cluster.View{Policy: &p, Cluster: &load.Cluster{Spec: 3, Status: 3, Pods: map[fleet.NodeID]load.Pod{
		"chat-0": {Ready: true}, "chat-1": {Ready: true}, "chat-2": {Ready: true},
	}, HPA: load.Autoscaler{Found: true, Min: 1, Max: 9}}}}
	r := w.replica(func(d *Deps) { d.Facts = facts })
	r.elect(1)
	w.run(8, r)
	s := r.shown()
	if s.Decision.Mode != "shadow" || s.Decision.Desired != 5 || s.Asked != 3 || s.Point.Asked != 3 || s.Point.Desired != 5 {
		t.Errorf("the page shows %d decided and %d asked for (point %d and %d): want 5, and the 3 that run", s.Decision.Desired, s.Asked, s.Point.Desired, s.Point.Asked)
	}
	for sample, want := range map[string]string{
		`tidegate_balancer_desired_replicas{fleet="shop/chat"}`: "5", `tidegate_balancer_asked_replicas{fleet="shop/chat"}`: "3", `tidegate_balancer_shadow{fleet="shop/chat"}`: "1",
	} {
		if got := r.metric(sample); got != want {
			t.Errorf("%s is %q, want %s: nobody could be alerted on what the shadow would do", sample, got, want)
		}
	}
}

func TestWithoutKubernetesAShadowAsksForNothingAndAnActorForItsCount(t *testing.T) {
	w := newWorld(t, ids(3)...)
	r := w.replica()
	r.elect(1)
	w.run(8, r)
	if s := r.shown(); s.Asked != s.Decision.Desired || s.Asked == 0 {
		t.Errorf("%d are asked for, decided are %d", s.Asked, s.Decision.Desired)
	}
	w.policy.Mode = policy.Shadow
	w.run(8, r)
	if s := r.shown(); s.Asked != 0 || s.Decision.Desired == 0 {
		t.Errorf("%d are said to be asked for, which a shadow cannot know", s.Asked)
	}
	if got := r.metric(`tidegate_balancer_shadow{fleet="shop/chat"}`); got != "1" {
		t.Errorf("shadow is %q", got)
	}
}
