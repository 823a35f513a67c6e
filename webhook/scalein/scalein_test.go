package scalein_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubetesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/scalein"
	"github.com/tidegate/tidegate/webhook/stamp"
)

func TestTheRightPodsLeave(t *testing.T) {
	old := func(name string) func(string, *corev1.Pod) {
		return func(pod string, p *corev1.Pod) {
			if pod == name {
				p.Annotations[keys.AnnotationDeletionCost] = "-2000000000"
			}
		}
	}
	state := func(name string, change func(*corev1.Pod)) func(string, *corev1.Pod) {
		return func(pod string, p *corev1.Pod) {
			if pod == name {
				change(p)
			}
		}
	}
	notReady := func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
	deleting := func(p *corev1.Pod) {
		p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		p.Finalizers = []string{"keep/it"}
	}
	cases := []struct {
		name    string
		changes []func(string, *corev1.Pod)
		order   string
		to      int
		want    string
		patches int
	}{
		{name: "one leaves", order: "dabcef", to: 5, want: "d", patches: 1},
		{name: "six to two", order: "fdbaec", to: 2, want: "abdf", patches: 4},
		{name: "an old stamp on another pod", changes: []func(string, *corev1.Pod){old("e")}, order: "dabcef", to: 5, want: "d", patches: 2},
		{name: "a pending pod goes first and nobody is stamped", changes: []func(string, *corev1.Pod){state("c", notReady)}, order: "dabcef", to: 5, want: "c"},
		{name: "a pending pod and one more", changes: []func(string, *corev1.Pod){state("c", notReady)}, order: "dabcef", to: 4, want: "cd", patches: 1},
		{name: "who is being deleted does not count", changes: []func(string, *corev1.Pod){state("a", deleting)}, order: "dbcef", to: 4, want: "d", patches: 1},
		{name: "all leave", order: "dabcef", to: 0, want: "abcdef"},
	}
	for _, c := range cases {
		for _, level := range []string{"deployment", "replicaset"} {
			t.Run(c.name+" by "+level, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTown(c.changes...)
					w.order = strings.Split(c.order, "")
					change := scale(c.to)
					if level == "replicaset" {
						change = w.shrink(c.to)
					}
					start := time.Now()
					r := w.stamper.Stamp(t.Context(), change)
					if got := strings.Join(w.leave(t, c.to), ""); got != c.want {
						t.Errorf("%s leave, want %s: %+v", got, c.want, r)
					}
					if got := w.patches(); got != c.patches {
						t.Errorf("%d patches, want %d: only what must change is stamped", got, c.patches)
					}
					wantHold := time.Duration(0)
					if c.patches > 0 {
						wantHold = settle
					}
					if held := time.Since(start); held != wantHold {
						t.Errorf("held for %s, want %s", held, wantHold)
					}
					if len(r.Troubles) > 0 {
						t.Errorf("troubles: %v", r.Troubles)
					}
				})
			})
		}
	}
}

func TestTheSameScaleInAgainChangesNothingAndDoesNotWaitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.order = strings.Split("fdbaec", "")
		w.stamper.Stamp(t.Context(), scale(2))
		first, asked := w.leave(t, 2), w.asked
		w.patches()
		// The write met a status write; meanwhile clients moved, and the balancer sees others with less to lose.
		w.order = strings.Split("acebdf", "")
		for _, again := range []scalein.Change{scale(2), scale(2), w.shrink(2)} {
			start := time.Now()
			r := w.stamper.Stamp(t.Context(), again)
			if held := time.Since(start); held > 25*time.Millisecond {
				t.Errorf("the retry was held for %s more", held)
			}
			if got := w.patches(); got > 0 || r.Set+r.Cleared > 0 {
				t.Errorf("the retry wrote %d patches", got)
			}
			if got := w.leave(t, 2); !slices.Equal(got, first) {
				t.Errorf("first %v were to leave, now %v", first, got)
			}
		}
		if w.asked != asked {
			t.Error("the balancer was asked again although all victims were known")
		}
	})
}

func TestARetryInsideTheSettleTimeWaitsForWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		impatient, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		w.stamper.Stamp(impatient, scale(5))
		start := time.Now()
		w.stamper.Stamp(t.Context(), scale(5))
		if held := time.Since(start); held < 25*time.Millisecond || held > 75*time.Millisecond {
			t.Errorf("held for %s, want about 50ms: what is left of %s after 150ms", held, settle)
		}
	})
}

func TestTheReplicaSetsExactCountMendsAnEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.stamper.Stamp(t.Context(), scale(5))
		w.stamper.Stamp(t.Context(), w.shrink(3))
		if got := strings.Join(w.leave(t, 3), ""); got != "abc" {
			t.Errorf("%s leave, want abc", got)
		}
	})
}

func TestInARolloutTheReplicaSetThatShrinksIsStamped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		deployment, err := w.client.AppsV1().Deployments("chat").Get(t.Context(), "socket", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		newer := newSet("socket-2", deployment)
		if err := w.client.Tracker().Add(newer); err != nil {
			t.Fatal(err)
		}
		if err := w.client.Tracker().Add(newPod("new", newer)); err != nil {
			t.Fatal(err)
		}
		w.order = []string{"new", "c", "a", "b", "d", "e", "f"}
		if r := w.stamper.Stamp(t.Context(), scale(5)); !r.Rollout || w.patches() > 0 {
			t.Errorf("which ReplicaSet shrinks is not known yet, and pods were stamped: %+v", r)
		}
		r := w.stamper.Stamp(t.Context(), w.shrink(5))
		if !slices.Equal(r.Victims, []string{"c"}) {
			t.Errorf("victims %v, want c: the node of the older ReplicaSet with the least to lose", r.Victims)
		}
	})
}

func TestTheEmptyReplicaSetsOfOlderRolloutsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		deployment, err := w.client.AppsV1().Deployments("chat").Get(t.Context(), "socket", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		older, none := newSet("socket-0", deployment), int32(0)
		older.Spec.Replicas = &none
		if err := w.client.Tracker().Add(older); err != nil {
			t.Fatal(err)
		}
		if r := w.stamper.Stamp(t.Context(), scale(5)); r.Rollout || r.Set != 1 {
			t.Errorf("a fleet that was ever rolled out is never stamped: %+v", r)
		}
	})
}

func TestANewTemplateWithFewerReplicasIsARollout(t *testing.T) {
	w := newTown()
	change := scale(5)
	change.Template = true
	if r := w.stamper.Stamp(t.Context(), change); !r.Rollout || w.patches() > 0 {
		t.Errorf("pods were stamped before it is known which ReplicaSet shrinks: %+v", r)
	}
}

func TestOldStampsAreClearedBeforeNewOnesAreSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(func(name string, p *corev1.Pod) {
			if name >= "d" {
				p.Annotations[keys.AnnotationDeletionCost] = strconv.Itoa(int(stamp.Lowest) + int(name[0]))
			}
		})
		w.stamper.Stamp(t.Context(), scale(3))
		var patched []string
		for _, action := range w.client.Actions() {
			if patch, ok := action.(kubetesting.PatchAction); ok {
				patched = append(patched, patch.GetName())
			}
		}
		if len(patched) != 6 {
			t.Fatalf("patched %v", patched)
		}
		for _, name := range patched[:3] {
			if name < "d" {
				t.Errorf("%s was stamped while old stamps still lay on others: %v", name, patched)
			}
		}
	})
}
