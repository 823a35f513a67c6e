package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/tidegate/tidegate/hack/cluster/component"
	"github.com/tidegate/tidegate/hack/cluster/kube"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

type statusCommand struct{}

// Run prints the cluster's state.
func (statusCommand) Run(s *session) error {
	if s.kind {
		return kindStatus(s)
	}
	if err := rootOnly(); err != nil {
		return err
	}
	setup, err := running(s.at)
	if err != nil {
		return err
	}
	problem := components(s, setup)
	client, err := kube.New(s.at)
	if err != nil {
		return errors.Join(problem, err)
	}
	return errors.Join(problem, objects(s, client))
}

// components prints a line for each and returns an error that names those that do not work.
func components(s *session, setup component.Setup) error {
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	defer table.Flush()                                      //nolint:errcheck // a terminal that is gone reads nothing
	fmt.Fprintln(table, "COMPONENT\tPID\tSTATE\tREADY\tLOG") //nolint:errcheck // as above
	var down []string
	for _, c := range component.All() {
		record, err := component.Book(s.at).Find(c.Name)
		if err != nil {
			return err
		}
		state, ready := record.State(), "no"
		if state == process.Running {
			if err := c.Probe(s.ctx, setup); err == nil {
				ready = "yes"
			}
		}
		if ready != "yes" {
			down = append(down, c.Name)
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", c.Name, record.PID, state, ready, s.at.Log(c.Name)) //nolint:errcheck // as above
	}
	if len(down) > 0 {
		return fmt.Errorf("not working: %v", down)
	}
	return nil
}

// objects prints the node, KEDA's API and a summary of the pods.
func objects(s *session, client kube.Client) error {
	nodes, err := client.List(s.ctx, "/api/v1/nodes")
	if err != nil {
		return fmt.Errorf("ask for nodes: %w", err)
	}
	pods, err := client.List(s.ctx, "/api/v1/pods")
	if err != nil {
		return fmt.Errorf("ask for pods: %w", err)
	}
	var metrics kube.Object
	errMetrics := client.Get(s.ctx, "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io", &metrics)
	var problems []error
	for _, node := range nodes {
		s.say("node %s: ready %t", node.Metadata.Name, node.Is("Ready"))
		if !node.Is("Ready") {
			problems = append(problems, fmt.Errorf("node %s: %s", node.Metadata.Name, node.Why("Ready")))
		}
	}
	s.say("external metrics (KEDA): available %t", metrics.Is("Available"))
	if !metrics.Is("Available") {
		problems = append(problems, errors.Join(fmt.Errorf("external metrics: %s", metrics.Why("Available")), errMetrics))
	}
	counts := make(map[string]int)
	for _, pod := range pods {
		state := pod.Status.Phase
		if pod.Is("Ready") {
			state = "Ready"
		}
		counts[pod.Metadata.Namespace+" "+state]++
	}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		s.say("pods in %s: %d", key, counts[key])
	}
	return errors.Join(problems...)
}
