package externalscaler_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/metric"
)

// witness collects notices.
type witness struct {
	mu      sync.Mutex
	notices []externalscaler.Notice
}

// Report keeps the notice.
func (w *witness) Report(_ context.Context, n externalscaler.Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, n)
}

func (w *witness) codes() []codes.Code {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []codes.Code
	for _, n := range w.notices {
		out = append(out, n.Code)
	}
	return out
}

func TestNoticesComeOncePerChange(t *testing.T) {
	b, seen := newBook(), &witness{}
	c := client(t, b, externalscaler.WithEvents(seen))
	poll := func(r *pb.ScaledObjectRef) {
		for range 5 {
			_, _ = c.GetMetrics(t.Context(), ask(r))
		}
	}
	poll(ref())
	b.put(decided(1, 4))
	poll(ref())
	b.at(serverTime.Add(time.Hour))
	poll(ref())
	poll(ref("minReplicas", "zero"))
	b.at(serverTime)
	poll(ref())
	want := []codes.Code{codes.NotFound, codes.OK, codes.Unavailable, codes.InvalidArgument, codes.OK}
	if got := seen.codes(); !slices.Equal(got, want) {
		t.Fatalf("noticed %v, want %v: an Event for each poll floods, none hides the fault", got, want)
	}
	first := seen.notices[0]
	if first.Namespace != "shop" || first.ScaledObject != "chat" || first.Fleet != chat || first.Message == "" {
		t.Errorf("the notice does not say whom it is about: %+v", first)
	}
}

func TestALimitThatBindsIsNoticedOnce(t *testing.T) {
	b, seen := newBook(), &witness{}
	c := client(t, b, externalscaler.WithEvents(seen))
	limits := []string{"minReplicas", "3", "maxReplicas", "50"}
	for sequence, desired := range []int{80, 90, 50, 2, 1, 3, 4} {
		b.put(decided(uint64(sequence), desired))
		for range 5 {
			if _, err := c.GetMetrics(t.Context(), ask(ref(limits...))); err != nil {
				t.Fatal(err)
			}
		}
	}
	said := []string{`"maxReplicas"`, "", `"minReplicas"`, ""}
	if len(seen.notices) != len(said) {
		t.Fatalf("noticed %+v: want one notice for each limit that binds and each that does no more", seen.notices)
	}
	for i, n := range seen.notices {
		if n.Code != codes.OK || !strings.Contains(n.Message, said[i]) || (n.Message == "") != (said[i] == "") {
			t.Errorf("notice %d is %+v, want it to name %s: nobody learns why the fleet stays short", i, n, said[i])
		}
	}
}

func TestHostileNamesDoNotGrowTheServer(t *testing.T) {
	registry, seen := prometheus.NewRegistry(), &witness{}
	server := externalscaler.New(newBook(decided(1, 4)), quiet(), externalscaler.WithRegistry(registry), externalscaler.WithEvents(seen))
	for i := range 10_000 {
		r := &pb.ScaledObjectRef{Namespace: "shop", Name: fmt.Sprintf("invented-%d", i)}
		if _, err := server.GetMetrics(t.Context(), ask(r)); status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
	}
	if _, err := server.GetMetrics(t.Context(), ask(ref())); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == metric.ScalerServedReplicas && len(family.Metric) != 1 {
			t.Errorf("%d series for one fleet: callers can invent series", len(family.Metric))
		}
	}
}
