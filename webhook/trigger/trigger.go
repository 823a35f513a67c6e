// Package trigger tells a user what is wrong with a ScaledObject of ours before it is stored.
package trigger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/scaledobject"
)

// Verdict is what to answer.
type Verdict struct {
	// Refusal says what cannot work, each with its fix; nil when nothing is.
	Refusal error
	// Warnings are what works against a fleet, each with its fix.
	Warnings []string
	// Ours says that the ScaledObject has a trigger of ours; nothing is said of others.
	Ours bool
}

// Judge looks at a ScaledObject that is created, or that replaces old. An error says that object is none. One that was
// stored with the same spec before is only warned of, since a controller that touches its labels or finalizers cannot
// mend it; neither is one that is being deleted held up.
func Judge(object, old []byte) (Verdict, error) {
	parsed, err := parse(object)
	if err != nil {
		return Verdict{}, err
	}
	read, err := scaledobject.Parse(parsed)
	if err != nil {
		// KEDA's own schema refuses it with better words, unless it is no business of ours at all.
		return Verdict{}, err
	}
	if !read.Ours() || parsed.GetDeletionTimestamp() != nil {
		return Verdict{}, nil
	}
	_, warnings, err := read.Policy(policy.Default())
	v := Verdict{Ours: true, Refusal: err, Warnings: append(warnings, read.Warnings()...)}
	if v.Refusal != nil && sameSpec(parsed, old) {
		v.Warnings = append([]string{v.Refusal.Error()}, v.Warnings...)
		v.Refusal = nil
	}
	return v, nil
}

func parse(body []byte) (*unstructured.Unstructured, error) {
	if len(body) == 0 {
		return nil, errors.New("there is no object")
	}
	var content map[string]any
	if err := json.Unmarshal(body, &content); err != nil {
		return nil, fmt.Errorf("read the object: %w", err)
	}
	if content == nil {
		return nil, errors.New("the object is null")
	}
	u := &unstructured.Unstructured{Object: content}
	if kind := u.GetKind(); kind != scaledobject.Kind.Kind {
		return nil, fmt.Errorf("the object is a %.60q: point this webhook at scaledobjects", kind)
	}
	return u, nil
}

// sameSpec reports whether the old object has the same spec.
func sameSpec(object *unstructured.Unstructured, old []byte) bool {
	before, err := parse(old)
	if err != nil {
		return false
	}
	a, errA := json.Marshal(before.Object["spec"])
	b, errB := json.Marshal(object.Object["spec"])
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
