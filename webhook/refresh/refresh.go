// Package refresh makes KEDA build its scalers anew once their certificates are there.
//
// KEDA builds a scaler when it first sees a ScaledObject. When the Secret of its TriggerAuthentication is still empty then,
// as after a fresh install, the scaler is built without TLS, finds nobody who answers, and is kept: KEDA makes no HPA, and
// only an HPA's questions would make it build the scaler anew (kedacore/keda 2.21.0, pkg/scaling/cache/scalers_cache.go).
// So the question is asked here: reading the external metric of a ScaledObject that has no HPA yet is such a question, and
// writes nothing.
package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

const (
	// soon is the time to the next look while some ScaledObject has no HPA, later when all have one.
	soon  = 5 * time.Second
	later = 30 * time.Second
	// lookTimeout bounds one look, and askTimeout one question in it: KEDA answers only after its scaler did, or after its
	// own timeout, and one that hangs must not use up the time of the others.
	lookTimeout = 20 * time.Second
	askTimeout  = 5 * time.Second
	// labelName is by which KEDA's metrics API finds the ScaledObject.
	labelName = "scaledobject.keda.sh/name"
)

// metric is the external metric of a ScaledObject's first trigger. Whichever is asked for, KEDA looks at all triggers.
var metric = schema.GroupVersionResource{Group: "external.metrics.k8s.io", Version: "v1beta1", Resource: "s0-" + keys.ScalerMetric}

// Refresher asks KEDA about the ScaledObjects that have no HPA. It is for one goroutine.
type Refresher struct {
	Client dynamic.Interface
	// Namespaces are where fleets are; the empty name is all of them.
	Namespaces []string
	Logger     *slog.Logger

	// turns counts the questions, so that each look begins where the one before ended.
	turns int
}

// Run looks again and again until ctx ends.
func (r *Refresher) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		waiting, err := r.Look(ctx)
		trouble := ""
		if err != nil && ctx.Err() == nil {
			if trouble = err.Error(); trouble != told {
				r.Logger.Warn("ScaledObjects cannot be looked at: if KEDA is not installed yet, this ends when it is", slog.Any(logkey.Err, err))
			}
		}
		told = trouble
		if waiting > 0 {
			timer.Reset(soon)
		} else {
			timer.Reset(later)
		}
	}
}

// Look asks KEDA once about each ScaledObject of ours that has no HPA, as far as the time of a look allows, and answers how
// many those are.
func (r *Refresher) Look(ctx context.Context) (waiting int, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	objects, err := r.waiting(ctx)
	// Begin with another one each time: if the first always hung, the last would never be asked about.
	begin := r.turns
	for i := range objects {
		if ctx.Err() != nil {
			break
		}
		r.ask(ctx, objects[(begin+i)%len(objects)])
		r.turns++
	}
	return len(objects), err
}

// waiting are the ScaledObjects of ours that have no HPA and are to have one.
func (r *Refresher) waiting(ctx context.Context) ([]scaledobject.Object, error) {
	var objects []scaledobject.Object
	var errs []error
	for _, namespace := range r.Namespaces {
		list, err := r.Client.Resource(scaledobject.Resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			errs = append(errs, fmt.Errorf("list ScaledObjects in %q: %w", namespace, err))
			continue
		}
		for i := range list.Items {
			object, err := scaledobject.Parse(&list.Items[i])
			if err == nil && object.Ours() && object.HPAName == "" && !object.Pause.All {
				objects = append(objects, object)
			}
		}
	}
	return objects, errors.Join(errs...)
}

// ask reads the metric. Its answer says nothing here: a ScaledObject may lack an HPA for many reasons, which KEDA tells.
func (r *Refresher) ask(ctx context.Context, o scaledobject.Object) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	selector := metav1.ListOptions{LabelSelector: labelName + "=" + o.Name}
	_, err := r.Client.Resource(metric).Namespace(o.Namespace).List(ctx, selector)
	r.Logger.Debug("KEDA was asked about a ScaledObject that has no HPA yet",
		slog.String(logkey.ScaledObject, o.Namespace+"/"+o.Name), slog.Any(logkey.Err, err))
}
