package balancer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/balancer/cluster"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kube"
)

// everywhere stands for all namespaces in --fleet-namespaces.
const everywhere = "*"

// checkKubernetes names what is wrong with the options that only count in a cluster.
func (o Options) checkKubernetes() error {
	if !o.Kubernetes {
		return nil
	}
	if len(o.FleetNamespaces) == 0 {
		return fmt.Errorf("--fleet-namespaces is empty: give the namespaces of the fleets, or %q for all, with --kubernetes", everywhere)
	}
	var errs []error
	for _, name := range o.FleetNamespaces {
		// A fleet's namespace has the form of a name.
		if err := (fleet.ID{Namespace: name, Name: "any"}).Validate(); err != nil && name != everywhere {
			errs = append(errs, fmt.Errorf("--fleet-namespaces: %w", err))
		}
	}
	if slices.Contains(o.FleetNamespaces, everywhere) && len(o.FleetNamespaces) > 1 {
		errs = append(errs, fmt.Errorf("--fleet-namespaces is %q: %q is all of them, leave out the others", o.FleetNamespaces, everywhere))
	}
	return errors.Join(errs...)
}

// namespaces are those to watch, as the API server's clients name them.
func (o Options) namespaces() []string {
	if slices.Contains(o.FleetNamespaces, everywhere) {
		return []string{meta.NamespaceAll}
	}
	return slices.Compact(slices.Sorted(slices.Values(o.FleetNamespaces)))
}

// watcher is what --kubernetes asks for; nil without it.
func (o Options) watcher(rules policy.Policy, logger *slog.Logger) (*cluster.Watcher, error) {
	if !o.Kubernetes {
		return nil, nil
	}
	config, err := kube.Config(o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubernetes: %w", err)
	}
	clients, err := cluster.NewClients(config)
	if err != nil {
		return nil, fmt.Errorf("--kubernetes: %w", err)
	}
	return cluster.New(clients, cluster.Settings{Namespaces: o.namespaces(), Base: rules}, logger)
}
