package graph_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/hack/cluster/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryStepRunsAfterThoseItNeeds(t *testing.T) {
	var mutex sync.Mutex
	var order []string
	step := func(name string, needs ...string) graph.Step {
		return graph.Step{Name: name, Needs: needs, Run: func(context.Context) error {
			mutex.Lock()
			defer mutex.Unlock()
			order = append(order, name)
			return nil
		}}
	}
	steps := []graph.Step{step("kubelet", "api", "containerd"), step("api", "etcd"), step("containerd"), step("etcd")}
	if err := graph.Run(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	at := func(name string) int { return slices.Index(order, name) }
	if len(order) != 4 || at("api") < at("etcd") || at("kubelet") != 3 {
		t.Errorf("order %v", order)
	}
}

func TestAFailureKeepsWhatNeedsItFromStarting(t *testing.T) {
	broken := errors.New("no space left")
	started := false
	err := graph.Run(t.Context(), []graph.Step{
		{Name: "etcd", Run: func(context.Context) error { return broken }},
		{Name: "api", Needs: []string{"etcd"}, Run: func(context.Context) error { started = true; return nil }},
		{Name: "kafka", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
	})
	if !errors.Is(err, broken) || started {
		t.Errorf("error %v, api started %t", err, started)
	}
}

func TestANeedThatNobodyMeetsIsNamed(t *testing.T) {
	err := graph.Run(t.Context(), []graph.Step{{Name: "api", Needs: []string{"etdc"}, Run: func(context.Context) error { return nil }}})
	if err == nil || !strings.Contains(err.Error(), `"etdc"`) {
		t.Errorf("error %v: a start would wait for ever", err)
	}
}
