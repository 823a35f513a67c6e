package cluster_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

func TestAnAPIServerThatIsNotHeardMakesFactsStale(t *testing.T) {
	var away atomic.Bool
	var asked atomic.Int64
	w := newWorldWith(t, func(w *world) {
		w.ask = 20 * time.Millisecond
		w.dynamic.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			asked.Add(1)
			return away.Load(), nil, errors.New("connection refused")
		})
	}, "shop")
	w.settled()
	for range 2 {
		w.eventually("it is heard", func() bool { return !w.facts().Stale })
		away.Store(true)
		w.eventually("what was heard may be over", func() bool { return w.facts().Stale })
		if len(w.facts().Pods) != 2 || w.policy().MaxReplicas != 20 {
			t.Errorf("facts %+v: the last that was heard must stay", w.facts())
		}
		before := asked.Load()
		w.eventually("it was asked in vain", func() bool { return asked.Load() > before+5 })
		if lost, found := strings.Count(w.log.String(), "is not heard"), strings.Count(w.log.String(), "is heard again"); lost != found+1 {
			t.Errorf("said %d times that it is lost and %d times that it is found, want one each time:\n%s", lost, found, w.log)
		}
		away.Store(false)
	}
	w.eventually("the end was logged", func() bool {
		return strings.Count(w.log.String(), "is heard again") == strings.Count(w.log.String(), "is not heard")
	})
}

// The API server answers, but one kind is not told of any more: the right to read it was taken away.
func TestAKindThatCannotBeWatchedMakesFactsStale(t *testing.T) {
	w := newWorldWith(t, func(w *world) {
		w.ask = 20 * time.Millisecond
		w.kube.PrependWatchReactor("horizontalpodautoscalers", func(clienttesting.Action) (bool, watch.Interface, error) {
			return true, nil, errors.New("forbidden")
		})
	}, "shop")
	w.settled()
	w.putHPA(&autoscaling.HorizontalPodAutoscalerBehavior{})
	w.eventually("what was heard may be over", func() bool { return w.facts().Stale })
	if w.facts().HPA.Found {
		t.Error("the test's HPA was heard of though nobody watches it")
	}
}

// Of many namespaces one is asked for, and it may be the one whose rights were taken away.
func TestARefusalIsAnAnswer(t *testing.T) {
	var refused atomic.Bool
	var asked atomic.Int64
	w := newWorldWith(t, func(w *world) {
		w.ask = 20 * time.Millisecond
		w.dynamic.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			asked.Add(1)
			return refused.Load(), nil, apierrors.NewForbidden(scaledobject.Resource.GroupResource(), "", errors.New("no rule"))
		})
	}, "shop")
	w.settled()
	refused.Store(true)
	before := asked.Load()
	w.eventually("the API server counts as heard", func() bool { return asked.Load() > before+10 && !w.facts().Stale })
}

func TestAPauseIsTold(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	for _, c := range []struct{ annotation, value, want string }{
		{"paused-scale-in", "true", "scaling in is paused"},
		{"paused", "true", "KEDA is paused"},
		{"paused-replicas", "4", "KEDA is paused"},
		{"paused-scale-out", "true", ""},
	} {
		o := object("chat")
		o.SetAnnotations(map[string]string{"autoscaling.keda.sh/" + c.annotation: c.value})
		w.putObject(o)
		w.eventually(c.annotation+" is told", func() bool {
			kept := w.facts().Kept
			return strings.Contains(kept, c.want) && (kept == "") == (c.want == "")
		})
	}
}

func TestTheSecondObjectCountsWhenTheFirstIsGone(t *testing.T) {
	w := newWorld(t, "shop")
	w.settled()
	second := object("zz-second", "fleet", "chat", "maxReplicas", "14")
	w.putObject(second)
	w.putObject(object("a-first", "fleet", "chat", "maxReplicas", "13"))
	w.eventually("the first in the alphabet counts", func() bool { return w.policy().MaxReplicas == 13 })
	w.deleteObject("a-first")
	w.eventually("the next one counts", func() bool { return w.policy().MaxReplicas == 20 })
	w.deleteObject("chat")
	w.eventually("the last one counts", func() bool { return w.policy().MaxReplicas == 14 })
	w.putHPA(nil)
	w.eventually("and its HPA", func() bool { return w.facts().HPA == load.Autoscaler{Found: true, Min: 2, Max: 20} })
}
