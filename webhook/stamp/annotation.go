package stamp

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/webhook/ranking"
)

// Carrier is where the cost of a pod lives. Today that is an annotation; Kubernetes calls it beta and may replace it, which
// then takes another Carrier and no other change. It is safe for concurrent use.
type Carrier interface {
	// Read answers the cost that a pod carries; not marked when it carries none.
	Read(pod *corev1.Pod) (cost int32, marked bool)
	// Write puts the cost on a pod. A pod that is gone is no error.
	Write(ctx context.Context, namespace, pod string, cost int32) error
	// Erase takes it off again. A pod that is gone is no error.
	Erase(ctx context.Context, namespace, pod string) error
}

// FieldManager is the name under which the API server records what was stamped.
const FieldManager = "tidegate-webhook"

// attempts is how often a patch is tried that met somebody else's.
const attempts = 3

// Annotation carries costs in the annotation that Kubernetes' ReplicaSet controller reads.
type Annotation struct {
	Pods v1.PodsGetter
}

// Read answers the annotation's value. One that Kubernetes would not read is a mark all the same: somebody wrote it.
func (Annotation) Read(pod *corev1.Pod) (int32, bool) {
	_, marked := pod.Annotations[keys.AnnotationDeletionCost]
	return ranking.Cost(pod), marked
}

// Write patches the annotation in.
func (a Annotation) Write(ctx context.Context, namespace, pod string, cost int32) error {
	text := strconv.FormatInt(int64(cost), 10)
	return a.patch(ctx, namespace, pod, &text)
}

// Erase patches the annotation away.
func (a Annotation) Erase(ctx context.Context, namespace, pod string) error {
	return a.patch(ctx, namespace, pod, nil)
}

// patch sets the annotation, or takes it away when value is nil.
func (a Annotation) patch(ctx context.Context, namespace, pod string, value *string) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]*string{keys.AnnotationDeletionCost: value}},
	})
	if err != nil {
		return fmt.Errorf("write the patch of pod %s/%s: %w", namespace, pod, err)
	}
	for range attempts {
		_, err = a.Pods.Pods(namespace).Patch(ctx, pod, types.MergePatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
		if !apierrors.IsConflict(err) {
			break
		}
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("patch the deletion cost of pod %s/%s: %w", namespace, pod, err)
	}
	return nil
}
