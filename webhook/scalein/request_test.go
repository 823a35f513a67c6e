package scalein_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	admission "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tidegate/tidegate/webhook/scalein"
	"github.com/tidegate/tidegate/webhook/victims"
)

func review(t *testing.T, resource, sub string, before, after any) *admission.AdmissionRequest {
	t.Helper()
	marshal := func(object any) runtime.RawExtension {
		raw, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: raw}
	}
	return &admission.AdmissionRequest{
		Operation: admission.Update, Namespace: "chat", Name: "socket", SubResource: sub,
		Resource:  metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource},
		OldObject: marshal(before), Object: marshal(after),
	}
}

func TestRequestsAreUnderstood(t *testing.T) {
	count := func(n int32) *int32 { return &n }
	deployment := func(n *int32, image string) appsv1.Deployment {
		return appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: n, Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}}}
	}
	cases := []struct {
		name     string
		request  *admission.AdmissionRequest
		from, to int
		template bool
		lowers   bool
	}{
		{"a scale", review(t, "deployments", "scale", autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 6}}, autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 2}}), 6, 2, false, true},
		{"a scale to zero, which JSON leaves out", review(t, "deployments", "scale", autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 6}}, autoscaling.Scale{}), 6, 0, false, true},
		{"a scale out", review(t, "deployments", "scale", autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 2}}, autoscaling.Scale{Spec: autoscaling.ScaleSpec{Replicas: 6}}), 2, 6, false, false},
		{"a Deployment", review(t, "deployments", "", deployment(count(6), "v1"), deployment(count(5), "v1")), 6, 5, false, true},
		{"a Deployment with another template", review(t, "deployments", "", deployment(count(6), "v1"), deployment(count(5), "v2")), 6, 5, true, true},
		{"a Deployment without a count has one", review(t, "deployments", "", deployment(count(2), "v1"), deployment(nil, "v1")), 2, 1, false, true},
		{"a ReplicaSet", review(t, "replicasets", "", appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: count(6)}}, appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: count(4)}}), 6, 4, false, true},
	}
	for _, c := range cases {
		got, err := scalein.Read(c.request)
		if err != nil || got.From != c.from || got.To != c.to || got.Template != c.template || got.Lowers() != c.lowers {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	bad := review(t, "statefulsets", "scale", autoscaling.Scale{}, autoscaling.Scale{})
	if _, err := scalein.Read(bad); err == nil || !strings.Contains(err.Error(), "point the webhook at") {
		t.Errorf("a StatefulSet: %v", err)
	}
	nameless := review(t, "deployments", "scale", autoscaling.Scale{}, autoscaling.Scale{})
	nameless.Name = ""
	if _, err := scalein.Read(nameless); err == nil || !strings.Contains(err.Error(), "name") {
		t.Errorf("a review of nothing: %v", err)
	}
}

func TestTheBalancerIsAskedOverHTTP(t *testing.T) {
	// The real client against a round tripper that answers as the balancer does.
	w := newTown()
	answer := func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("fleet") != "chat/socket" {
			t.Errorf("asked for %q", r.URL)
		}
		recorder := newRecorder(`{"fleet":"chat/socket","victims":["c","a"],"tableVersion":3}`)
		return recorder, nil
	}
	w.stamper.Order = victims.NewClient("http://balancer:9091", roundTripper(answer))
	w.stamper.Settle = 0
	if r := w.stamper.Stamp(t.Context(), scale(4)); !slices.Equal(r.Victims, []string{"c", "a"}) {
		t.Errorf("victims %v, want c and a", r.Victims)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newRecorder(body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}
