package externalscaler

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/tidegate/tidegate/internal/scaledobject"
)

// office is an API server in memory that knows one ScaledObject, and the scaler's events on it.
type office struct {
	t       *testing.T
	kube    *fake.Clientset
	dynamic *dynamicfake.FakeDynamicClient
	*clusterEvents
}

func newOffice(t *testing.T) *office {
	t.Helper()
	known := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
		"metadata": map[string]any{"namespace": "shop", "name": "chat", "uid": "u-1"},
	}}
	o := &office{
		t: t, kube: fake.NewClientset(),
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			scaledobject.Resource: "ScaledObjectList",
		}, known),
	}
	o.clusterEvents = eventsOn(o.dynamic, o.kube.CoreV1(), slog.New(slog.DiscardHandler))
	return o
}

// open writes events until the test ends.
func (o *office) open() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.run(ctx)
	}()
	o.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// written waits for so many events in the namespace.
func (o *office) written(n int) []core.Event {
	o.t.Helper()
	late := time.After(20 * time.Second)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		list, err := o.kube.CoreV1().Events("shop").List(o.t.Context(), meta.ListOptions{})
		if err != nil {
			o.t.Fatal(err)
		}
		if len(list.Items) == n {
			return list.Items
		}
		select {
		case <-again.C:
		case <-late:
			o.t.Fatalf("%d events are written, want %d: %+v", len(list.Items), n, list.Items)
		}
	}
}

func notice(code codes.Code, message string) Notice {
	return Notice{Namespace: "shop", ScaledObject: "chat", Code: code, Message: message}
}

func TestEachNoticeIsAnEventOnItsScaledObject(t *testing.T) {
	o := newOffice(t)
	o.open()
	want := map[string]string{
		"TriggerRefused": core.EventTypeWarning, "FleetUnknown": core.EventTypeWarning, "CountUnavailable": core.EventTypeWarning,
		"CountLimited": core.EventTypeWarning, "CountServed": core.EventTypeNormal,
	}
	for _, n := range []Notice{
		notice(codes.InvalidArgument, "maxReplicas is wrong"), notice(codes.NotFound, "no decision"), notice(codes.Unavailable, "expired"),
		notice(codes.OK, "maxReplicas binds"), notice(codes.OK, ""),
	} {
		o.Report(t.Context(), n)
	}
	for _, e := range o.written(len(want)) {
		if kind, known := want[e.Reason]; !known || e.Type != kind || e.InvolvedObject.UID != "u-1" || e.InvolvedObject.Kind != "ScaledObject" || e.Message == "" {
			t.Errorf("event %s %s on %+v says %q: kubectl describe would not show it, or wrong", e.Type, e.Reason, e.InvolvedObject, e.Message)
		}
		delete(want, e.Reason)
	}
	if len(want) > 0 {
		t.Errorf("nobody was told of %v", want)
	}
}

func TestInventedObjectsGetNoEvents(t *testing.T) {
	o := newOffice(t)
	o.open()
	for i := range 50 {
		o.Report(t.Context(), Notice{Namespace: "shop", ScaledObject: fmt.Sprintf("invented-%d", i), Code: codes.NotFound, Message: "no"})
	}
	o.Report(t.Context(), Notice{Namespace: "../..", ScaledObject: "a/b%", Code: codes.NotFound, Message: "no"})
	o.Report(t.Context(), notice(codes.Unavailable, "expired"))
	if e := o.written(1)[0]; e.InvolvedObject.Name != "chat" {
		t.Errorf("a caller that invents names wrote %+v", e)
	}
}

func TestWithoutTheRightToLookTheNameMustDo(t *testing.T) {
	o := newOffice(t)
	o.dynamic.PrependReactor("get", "scaledobjects", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(scaledobject.Resource.GroupResource(), "chat", nil)
	})
	o.open()
	o.Report(t.Context(), notice(codes.Unavailable, "expired"))
	if e := o.written(1)[0]; e.InvolvedObject.Name != "chat" || e.InvolvedObject.UID != "" {
		t.Errorf("event on %+v, want one by the name alone", e.InvolvedObject)
	}
}

func TestReportNeverWaits(t *testing.T) {
	o := newOffice(t) // nobody takes what is queued
	for i := range 10 * waitingNotices {
		o.Report(t.Context(), notice(codes.NotFound, strings.Repeat("x", i%7)))
	}
	if len(o.queue) != waitingNotices {
		t.Errorf("%d notices wait, want the first %d", len(o.queue), waitingNotices)
	}
}
