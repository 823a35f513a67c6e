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

// read takes the fleet and its policy from a ScaledObject's reference.
func read(ref *pb.ScaledObjectRef) (fleet.ID, policy.Policy, *refusal) {
	id, badFleet := fleetOf(ref)
	p, err := policy.Parse(ref.GetScalerMetadata())
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
	case p.Mode == policy.Shadow || d.Mode == string(policy.Shadow):
		// A shadow must answer what already runs. Only the cluster knows spec.replicas; any number made up here would act.
		return refuse(codes.Unavailable, "fleet %s is in shadow mode, which answers spec.replicas and so needs the cluster: "+
			"set key \"mode\" to \"act\", or run the scaler in Kubernetes", id)
	}
	return nil
}

func unknownMetric(name string) *refusal {
	return refuse(codes.InvalidArgument, "metric %q is unknown: ask for %q, the name GetMetricSpec gives", name, plain.name)
}
