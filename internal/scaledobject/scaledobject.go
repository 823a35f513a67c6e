// Package scaledobject reads what Tidegate needs of a KEDA ScaledObject: which fleet it scales, by what policy, and which
// of its settings would work against the fleet. The balancer takes policies from it, and the webhook tells users what is
// wrong. It decides on values and depends on none of KEDA's packages.
package scaledobject

import (
	"encoding/json"
	"errors"
	"fmt"

	autoscaling "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tidegate/tidegate/internal/fleet"
)

// Resource is where the API server keeps ScaledObjects; Kind is how events refer to one.
var (
	Resource = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}
	Kind     = schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}
)

// What KEDA takes where a ScaledObject says nothing.
const (
	defaultMin = 0
	defaultMax = 100
	// leastMin is the least count that KEDA gives an HPA.
	leastMin = 1

	defaultTargetKind       = "Deployment"
	defaultTargetAPIVersion = "apps/v1"
)

// Object is one ScaledObject. It is a value that nobody changes, and safe for concurrent use.
type Object struct {
	Namespace, Name, UID string
	// Generation grows with each change of the spec.
	Generation int64
	// Fleet is the fleet that our trigger asks for; zero when there is no trigger of ours or it names no fleet.
	Fleet  fleet.ID
	Target Target
	// Min and Max are KEDA's bounds, with its defaults 0 and 100; MinGiven and MaxGiven say that the object sets them.
	Min, Max           int
	MinGiven, MaxGiven bool
	// Idle is idleReplicaCount, nil when it is not set.
	Idle     *int
	Triggers []Trigger
	// Fallback is nil when there is none.
	Fallback *Fallback
	// Up and Down are the HPA's behaviour that the object asks for.
	Up, Down Direction
	// Modified says that a formula of scalingModifiers makes the count.
	Modified bool
	Pause    Pause
	// HPAName is the name of the HPA that KEDA made; empty before it did.
	HPAName string

	ours []int // indices of our triggers
}

// Target is what a ScaledObject scales.
type Target struct{ APIVersion, Kind, Name string }

// Trigger is one of a ScaledObject's triggers.
type Trigger struct {
	Type             string
	Name             string
	MetricType       string
	UseCachedMetrics bool
	Metadata         map[string]string
	// Authentication is the name of the TriggerAuthentication, empty when there is none.
	Authentication string
}

// Fallback is what KEDA does when a trigger gives no answer.
type Fallback struct {
	// Behavior is static when the object names none, as in KEDA.
	Behavior         string
	FailureThreshold int
	Replicas         int
}

// The behaviours of a fallback.
const (
	FallbackStatic                  = "static"
	FallbackCurrentReplicas         = "currentReplicas"
	FallbackCurrentReplicasIfHigher = "currentReplicasIfHigher"
)

// Direction is the behaviour of one direction as it was written.
type Direction struct {
	// Given says that the direction is there at all.
	Given bool
	// Missing names the fields that the API server fills in by itself.
	Missing []string
	// Tolerance is nil when it is missing: the HPA then takes a tenth.
	Tolerance *float64
}

// rawObject is the part of a ScaledObject that is read, as KEDA's schema writes it.
type rawObject struct {
	Metadata struct {
		Namespace   string            `json:"namespace"`
		Name        string            `json:"name"`
		UID         string            `json:"uid"`
		Generation  int64             `json:"generation"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		ScaleTargetRef struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
		} `json:"scaleTargetRef"`
		IdleReplicaCount *int         `json:"idleReplicaCount"`
		MinReplicaCount  *int         `json:"minReplicaCount"`
		MaxReplicaCount  *int         `json:"maxReplicaCount"`
		Triggers         []rawTrigger `json:"triggers"`
		Fallback         *struct {
			Behavior         string `json:"behavior"`
			FailureThreshold int    `json:"failureThreshold"`
			Replicas         int    `json:"replicas"`
		} `json:"fallback"`
		Advanced struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior autoscaling.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
			ScalingModifiers struct {
				Formula string `json:"formula"`
			} `json:"scalingModifiers"`
		} `json:"advanced"`
	} `json:"spec"`
	Status struct {
		HPAName string `json:"hpaName"`
	} `json:"status"`
}

type rawTrigger struct {
	Type              string            `json:"type"`
	Name              string            `json:"name"`
	MetricType        string            `json:"metricType"`
	UseCachedMetrics  bool              `json:"useCachedMetrics"`
	Metadata          map[string]string `json:"metadata"`
	AuthenticationRef struct {
		Name string `json:"name"`
	} `json:"authenticationRef"`
}

// Parse reads a ScaledObject. An error says that it is none that KEDA's schema allows; what is wrong with our trigger is
// said by Policy and Warnings.
func Parse(u *unstructured.Unstructured) (Object, error) {
	if u == nil || u.Object == nil {
		return Object{}, errors.New("read ScaledObject: there is none")
	}
	body, err := json.Marshal(u.Object)
	if err != nil {
		return Object{}, fmt.Errorf("read ScaledObject: %w", err)
	}
	var raw rawObject
	if err := json.Unmarshal(body, &raw); err != nil {
		return Object{}, fmt.Errorf("read ScaledObject %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	return raw.object(), nil
}

func (raw *rawObject) object() Object {
	spec := &raw.Spec
	o := Object{
		Namespace: raw.Metadata.Namespace, Name: raw.Metadata.Name, UID: raw.Metadata.UID, Generation: raw.Metadata.Generation,
		Target: Target{
			APIVersion: or(spec.ScaleTargetRef.APIVersion, defaultTargetAPIVersion),
			Kind:       or(spec.ScaleTargetRef.Kind, defaultTargetKind),
			Name:       spec.ScaleTargetRef.Name,
		},
		Min: defaultMin, Max: defaultMax, Idle: spec.IdleReplicaCount,
		Up:       direction(spec.Advanced.HorizontalPodAutoscalerConfig.Behavior.ScaleUp),
		Down:     direction(spec.Advanced.HorizontalPodAutoscalerConfig.Behavior.ScaleDown),
		Modified: spec.Advanced.ScalingModifiers.Formula != "",
		Pause:    pause(raw.Metadata.Annotations),
		HPAName:  raw.Status.HPAName,
	}
	if spec.MinReplicaCount != nil {
		o.Min, o.MinGiven = *spec.MinReplicaCount, true
	}
	if spec.MaxReplicaCount != nil {
		o.Max, o.MaxGiven = *spec.MaxReplicaCount, true
	}
	if f := spec.Fallback; f != nil {
		o.Fallback = &Fallback{Behavior: or(f.Behavior, FallbackStatic), FailureThreshold: f.FailureThreshold, Replicas: f.Replicas}
	}
	for _, t := range spec.Triggers {
		o.Triggers = append(o.Triggers, Trigger{
			Type: t.Type, Name: t.Name, MetricType: t.MetricType, UseCachedMetrics: t.UseCachedMetrics,
			Metadata: t.Metadata, Authentication: t.AuthenticationRef.Name,
		})
	}
	o.ours = ours(o.Triggers)
	if len(o.ours) > 0 {
		if id, err := o.fleet(); err == nil {
			o.Fleet = id
		}
	}
	return o
}

// direction lists what a behaviour leaves to the API server. selectPolicy has a default that is as good as any.
func direction(rules *autoscaling.HPAScalingRules) Direction {
	if rules == nil {
		return Direction{}
	}
	d := Direction{Given: true}
	if rules.StabilizationWindowSeconds == nil {
		d.Missing = append(d.Missing, "stabilizationWindowSeconds")
	}
	if len(rules.Policies) == 0 {
		d.Missing = append(d.Missing, "policies")
	}
	if rules.Tolerance == nil {
		d.Missing = append(d.Missing, "tolerance")
		return d
	}
	tolerance := rules.Tolerance.AsApproximateFloat64()
	d.Tolerance = &tolerance
	return d
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
