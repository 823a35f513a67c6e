package load

import (
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
)

// Cluster is what Kubernetes says of one fleet, as plain values. It changes nothing by itself: heartbeats say what a node
// carries, Kubernetes says which nodes there should be and why one does not come. A Cluster is never changed once it was
// handed out.
type Cluster struct {
	// Spec and Status are the Deployment's spec.replicas and status.replicas; both are 0 without a Deployment. Status counts
	// a rollout's surge, and it is what the HPA measures its tolerance against.
	Spec, Status int
	// Rolling says that a rollout is under way.
	Rolling bool
	// Pods are the fleet's pods that are not over, by node.
	Pods map[fleet.NodeID]Pod
	HPA  Autoscaler
	// Shared says that the ScaledObject has other triggers too, of which the HPA takes the largest count.
	Shared bool
	// Kept says in words why KEDA takes no pod away whatever is decided, because a user paused it; empty when nobody did.
	Kept string
	// Stale says that the API server has not been heard for so long that all of this may be over.
	Stale bool
	// Fault says why the ScaledObject's policy cannot be used, so that the last good one holds; empty when it can.
	Fault string
	// Warnings are the settings of the ScaledObject that work against the fleet, in words.
	Warnings []string
}

// Pod is what Kubernetes says of one pod.
type Pod struct {
	// Ready says that the pod passes its readiness probe, which a node does that serves.
	Ready bool
	// Fell says that the pod was ready since its containers last began, and is so no more.
	Fell bool
	// Deleting says that the pod was asked to go.
	Deleting bool
	// Trouble is why the pod cannot start, as Kubernetes names it (CrashLoopBackOff, Unschedulable); empty when nothing is
	// known to be wrong.
	Trouble string
	// Restarts counts how often its containers began anew.
	Restarts int
	// Old says that the pod is of an older ReplicaSet than the Deployment's newest: a rollout will replace it.
	Old bool
}

// Unschedulable is the Trouble of a pod for which no machine has room. Unlike the others it is often over by itself, once a
// cluster autoscaler has brought a machine.
const Unschedulable = "Unschedulable"

// Autoscaler is what the fleet's HPA says of itself, read back from the API server: an older one drops what it does not know.
type Autoscaler struct {
	// Found says that there is an HPA. KEDA takes it away while it is paused.
	Found bool
	// Min and Max are its bounds.
	Min, Max int
	// Up and Down are the tolerances; nil where the HPA has none, so that it takes a tenth.
	Up, Down *float64
	// InByOne is the least time between two single steps in, where its policies allow only such; 0 where they allow others.
	InByOne time.Duration
}

// defaultTolerance is the HPA's where its spec says nothing.
const defaultTolerance = 0.1

// Tolerances are those that the HPA really applies.
func (a Autoscaler) Tolerances() (up, down float64) {
	up, down = defaultTolerance, defaultTolerance
	if a.Up != nil {
		up = *a.Up
	}
	if a.Down != nil {
		down = *a.Down
	}
	return up, down
}
