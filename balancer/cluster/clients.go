// Package cluster watches what Kubernetes knows of the fleets: their ScaledObjects, Deployments, ReplicaSets, pods and HPAs.
// It hands out plain values and the policies that the ScaledObjects ask for, from memory, and writes Events. It changes
// nothing else in the cluster.
package cluster

import (
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Clients are the ways to the API server.
type Clients struct {
	Kube     kubernetes.Interface
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
}

// NewClients makes the clients of one API server.
func NewClients(config *rest.Config) (Clients, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return Clients{}, fmt.Errorf("reach the API server: %w", err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return Clients{}, fmt.Errorf("reach the API server: %w", err)
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return Clients{}, fmt.Errorf("reach the API server: %w", err)
	}
	return Clients{Kube: kube, Dynamic: dyn, Metadata: meta}, nil
}
