package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/tidegate/tidegate/hack/cluster/keda"
)

// With CLUSTER=kind the same commands drive kind and Docker. There is no node of ours to enter: `exec` runs the command
// here, with kind's kubeconfig. Redis and Kafka are the tests' to bring, as pods.
const kindName = "tidegate"

func kindRun(s *session, program string, args ...string) error {
	cmd := exec.CommandContext(s.ctx, program, args...) //nolint:gosec // a developer's own command
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, s.out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

func kindUp(s *session) error {
	if err := kindRun(s, "kind", "create", "cluster", "--name", kindName, "--kubeconfig", s.at.Kubeconfig(), "--wait", "120s"); err != nil {
		return err
	}
	const manifests = "https://github.com/kedacore/keda/releases/download/v" + keda.Version + "/keda-" + keda.Version + ".yaml"
	if err := kindExec(s, []string{"kubectl", "apply", "--server-side", "-f", manifests}); err != nil {
		return err
	}
	return kindExec(s, []string{"kubectl", "wait", "--for=condition=Available", "--timeout=180s", "apiservice/v1beta1.external.metrics.k8s.io"})
}

func kindDown(s *session) error {
	return kindRun(s, "kind", "delete", "cluster", "--name", kindName, "--kubeconfig", s.at.Kubeconfig())
}

func kindStatus(s *session) error { return kindExec(s, []string{"kubectl", "get", "nodes,pods", "-A"}) }

func kindLoad(s *session, archive string) error {
	return kindRun(s, "kind", "load", "image-archive", archive, "--name", kindName)
}

func kindExec(s *session, command []string) error {
	if err := os.Setenv("KUBECONFIG", s.at.Kubeconfig()); err != nil {
		return err
	}
	return kindRun(s, command[0], command[1:]...)
}
