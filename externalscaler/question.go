package externalscaler

import (
	"fmt"
	"strings"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc/codes"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

// Keys of the trigger metadata that are looked at even when others are wrong.
const (
	keyFleet       = "fleet"
	keyMinReplicas = "minReplicas"
	keyMaxReplicas = "maxReplicas"
)

// maxMessageBytes bounds what a refusal says: it travels in an HTTP/2 header and becomes a Kubernetes Event.
const maxMessageBytes = 1024

// refusal is why there is no metric.
type refusal struct {
	code    codes.Code
	message string
}

func refuse(code codes.Code, format string, args ...any) *refusal {
	message := fmt.Sprintf(format, args...)
	if len(message) > maxMessageBytes {
		message = message[:maxMessageBytes] + " …"
	}
	return &refusal{code: code, message: strings.ToValidUTF8(message, "")}
}

// The widest limits of a policy. A limit that the metadata leaves out is not known here, since the balancer's policy
// file may have set it: then these hold. One replica is the least, because none would cut every client.
const (
	leastReplicas = 1
	mostReplicas  = 100_000
)

// read takes the fleet and its policy from a ScaledObject's reference. The limits of the policy are those of the
// metadata alone.
func read(ref *pb.ScaledObjectRef) (fleet.ID, policy.Policy, *refusal) {
	id, badFleet := fleetOf(ref)
	metadata, base := ref.GetScalerMetadata(), policy.Default()
	base.MinReplicas, base.MaxReplicas = leastReplicas, mostReplicas
	p, err := base.With(metadata)
	if err == nil {
		err = badFleet
	}
	if err != nil {
		return id, policy.Policy{}, refuse(codes.InvalidArgument, "trigger metadata of ScaledObject %s/%s: %v",
			ref.GetNamespace(), ref.GetName(), err)
	}
	return id, p, nil
}

// fleetOf names the fleet of a reference: the Deployment in the metadata, else the ScaledObject's own name.
func fleetOf(ref *pb.ScaledObjectRef) (fleet.ID, error) {
	id := fleet.ID{Namespace: ref.GetNamespace(), Name: ref.GetName()}
	if name, given := ref.GetScalerMetadata()[keyFleet]; given {
		id.Name = name
	}
	if err := id.Validate(); err != nil {
		return fleet.ID{}, fmt.Errorf("%w: name the fleet's Deployment in key %q, in the ScaledObject's namespace", err, keyFleet)
	}
	return id, nil
}

// judge says why a decision cannot be served; nil when it can.
func judge(id fleet.ID, p policy.Policy, d decision.Decision, now time.Time, ok bool) *refusal {
	switch {
	case now.IsZero():
		return refuse(codes.Unavailable, "the decisions for fleet %s could not be read yet: check that the scaler reaches Redis", id)
	case !ok:
		return refuse(codes.NotFound, "no decision was ever made for fleet %s: check key %q (the Deployment's name), "+
			"that its pods send heartbeats and that a balancer runs", id, keyFleet)
	case d.Expired(now):
		return refuse(codes.Unavailable, "decision %d for fleet %s expired at %s by the Redis server's clock: check that a balancer leads, "+
			"that it reaches Redis and that the nodes send heartbeats", d.Sequence, id, d.ExpiresAt.UTC().Format(time.RFC3339))
	case wouldAct(p, d, now):
		return refuse(codes.Unavailable, "fleet %s is in shadow mode, which answers spec.replicas, and the balancer does not tell that now: "+
			"set key \"mode\" to \"act\", or check that a balancer leads, watches the cluster (--kubernetes) and hears the API server", id)
	}
	return nil
}

// wouldAct says that an answer would be one although shadow mode is asked for. A shadow must answer what is asked for
// already, which only the cluster knows: so the balancer must have taken the mode over, and have told that just now.
func wouldAct(p policy.Policy, d decision.Decision, now time.Time) bool {
	if d.Mode == string(policy.Shadow) {
		return !d.Watched(now)
	}
	return p.Mode == policy.Shadow
}

// limited is the count within the limits that the metadata gives, and says which of them is in the way. The words
// leave the count out: they are noticed anew whenever they change.
func limited(count int, p policy.Policy) (within int, words string) {
	switch {
	case count > p.MaxReplicas:
		return p.MaxReplicas, fmt.Sprintf("the balancer decided more replicas than key %q of the trigger metadata (%d) lets through: "+
			"raise it, or remove it and keep the limit in the balancer's policy", keyMaxReplicas, p.MaxReplicas)
	case count < p.MinReplicas:
		return p.MinReplicas, fmt.Sprintf("the balancer decided fewer replicas than key %q of the trigger metadata (%d) lets through: "+
			"lower it, or remove it and keep the limit in the balancer's policy", keyMinReplicas, p.MinReplicas)
	}
	return count, ""
}

func unknownMetric(name string) *refusal {
	return refuse(codes.InvalidArgument, "metric %q is unknown: ask for %q, the name GetMetricSpec gives", name, plain.name)
}
