package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/hack/cluster/component"
	"github.com/tidegate/tidegate/hack/cluster/keda"
	"github.com/tidegate/tidegate/hack/cluster/place"
)

// With CLUSTER=kind the same commands drive kind and Docker: a cluster with KEDA to try manifests on. The end-to-end tests
// need what kind cannot give: see errKindExec.
const kindName = "tidegate"

// errKindExec is the answer to exec, through which the end-to-end tests run.
var errKindExec = errors.New("a kind cluster has no network here to run a command in, no Redis and Kafka at 10.99.0.1, and no processes to " +
	"stop: `exec` and the end-to-end tests (make e2e, e2e-full, faults) need the local cluster, on Linux as root, without CLUSTER=kind")

// kindConfig is the administrator's kubeconfig, apart from the local cluster's, whose stop must not take it away.
func kindConfig(at place.Place) string { return filepath.Join(at.Home, "kind.kubeconfig") }

func kindCommand(s *session, out io.Writer, program string, args ...string) error {
	cmd := exec.CommandContext(s.ctx, program, args...) //nolint:gosec // a developer's own command
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kindConfig(s.at))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return nil
}

func kindRun(s *session, program string, args ...string) error {
	return kindCommand(s, s.out, program, args...)
}

// kindUp makes the cluster, unless it is there, and installs KEDA.
func kindUp(s *session, u upCommand) error {
	if component.Profile(u.Profile) != component.Default {
		return fmt.Errorf("kind runs Kubernetes as it is: --profile %s needs the local cluster, without CLUSTER=kind", u.Profile)
	}
	if err := os.MkdirAll(s.at.Home, 0o755); err != nil { //nolint:gosec // programs in it are for everyone on this machine
		return fmt.Errorf("make the cluster's folder: %w", err)
	}
	there, err := kindExists(s)
	if err != nil {
		return err
	}
	if there && u.Fresh {
		if err := kindDown(s); err != nil {
			return err
		}
		there = false
	}
	if there {
		err = kindRun(s, "kind", "export", "kubeconfig", "--name", kindName, "--kubeconfig", kindConfig(s.at))
	} else {
		err = kindRun(s, "kind", "create", "cluster", "--name", kindName, "--kubeconfig", kindConfig(s.at), "--wait", "120s")
	}
	if err != nil {
		return err
	}
	const manifests = "https://github.com/kedacore/keda/releases/download/v" + keda.Version + "/keda-" + keda.Version + ".yaml"
	if err := kindRun(s, "kubectl", "apply", "--server-side", "--force-conflicts", "-f", manifests); err != nil {
		return err
	}
	if err := kindRun(s, "kubectl", "wait", "--for=condition=Available", "--timeout=180s", "apiservice/v1beta1.external.metrics.k8s.io"); err != nil {
		return err
	}
	s.say("The kind cluster is up with KEDA, without Redis and Kafka. Use it with: export KUBECONFIG=%s", kindConfig(s.at))
	return nil
}

func kindExists(s *session) (bool, error) {
	var names strings.Builder
	err := kindCommand(s, &names, "kind", "get", "clusters")
	return slices.Contains(strings.Fields(names.String()), kindName), err
}

func kindDown(s *session) error {
	return kindRun(s, "kind", "delete", "cluster", "--name", kindName, "--kubeconfig", kindConfig(s.at))
}

func kindStatus(s *session) error { return kindRun(s, "kubectl", "get", "nodes,pods", "-A") }

func kindLoad(s *session, archive string) error {
	return kindRun(s, "kind", "load", "image-archive", archive, "--name", kindName)
}
