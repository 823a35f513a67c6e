// Package kube is how Tidegate's processes reach a Kubernetes API server, and how they write Events there.
package kube

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tidegate/tidegate/internal/version"
)

// Config is the way to the API server: by the kubeconfig file of that path, or, where the path is empty, by the service
// account of the pod that this process runs in.
func Config(kubeconfig string) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w: run in a pod with a service account, or give --kubeconfig", err)
	}
	config.UserAgent = "tidegate/" + version.String()
	return config, nil
}
