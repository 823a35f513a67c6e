// Package keda installs KEDA as pods, from the manifests in KEDA's own module and images made from the built programs.
package keda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/component"
	"github.com/tidegate/tidegate/hack/cluster/config"
	"github.com/tidegate/tidegate/hack/cluster/kube"
	"github.com/tidegate/tidegate/hack/cluster/pki"
	"github.com/tidegate/tidegate/hack/cluster/place"
	"github.com/tidegate/tidegate/hack/image"
)

// Version is KEDA's, which is the tag of its images.
const Version = "2.21.0"

// programs maps KEDA's images to the built program in each and the path at which its manifest starts it.
var programs = []struct{ image, program, entrypoint string }{
	{"ghcr.io/kedacore/keda", "operator", "/keda"},
	{"ghcr.io/kedacore/keda-metrics-apiserver", "adapter", "/keda-adapter"},
	{"ghcr.io/kedacore/keda-admission-webhooks", "webhooks", "/keda-admission-webhooks"},
}

// Images writes the archives of KEDA's images, unless they are there, and returns their files.
func Images(at place.Place, folder string) ([]string, error) {
	var archives []string
	for _, p := range programs {
		archive := filepath.Join(at.Images(), filepath.Base(folder)+"-"+p.program+".tar")
		archives = append(archives, archive)
		if _, err := os.Stat(archive); err == nil {
			continue
		}
		spec := image.Binary(p.image+":"+Version, filepath.Join(folder, p.program), p.entrypoint)
		if err := spec.Write(archive); err != nil {
			return nil, err
		}
	}
	return archives, nil
}

// Install applies KEDA's manifests. What is installed already stays as it is.
func Install(ctx context.Context, s component.Setup, now time.Time) error {
	dir := s.Place.Run("keda")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := write(ctx, s.Place, dir, now); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
	}
	return kube.Kubectl(ctx, s, "apply", "--server-side", "--force-conflicts", "-k", dir)
}

// Await waits until KEDA answers the HPA's questions.
func Await(ctx context.Context, c kube.Client) error {
	return c.Await(ctx, "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io", "Available")
}

// write makes the kustomization: KEDA's own manifests, and what differs here.
func write(ctx context.Context, at place.Place, dir string, now time.Time) error {
	module, err := moduleFolder(ctx, at)
	if err != nil {
		return err
	}
	// Copied, because kustomize takes a path with a host's name in it for an address on the internet.
	upstream := filepath.Join(dir, "upstream")
	if err := os.CopyFS(upstream, os.DirFS(filepath.Join(module, "config"))); err != nil {
		return fmt.Errorf("copy KEDA's manifests: %w", err)
	}
	kustomization, err := config.Render("keda.yaml", struct{ Version string }{Version})
	if err != nil {
		return err
	}
	secret, err := certificates(now)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "kustomization.yaml"), kustomization, 0o600),
		os.WriteFile(filepath.Join(dir, "certificates.json"), secret, 0o600),
	)
}

func moduleFolder(ctx context.Context, at place.Place) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/kedacore/keda/v2")
	cmd.Dir = at.Parts("keda")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return "", fmt.Errorf("find KEDA's module: %w", errors.Join(err, errors.New("`go mod download` in hack/cluster/parts/keda brings it")))
	}
	return dir, nil
}

// certificates is the secret that KEDA would make for itself. Made before, it saves the operator a restart and every pod
// the minute in which the kubelet notices; KEDA checks it and rotates it like its own.
func certificates(now time.Time) ([]byte, error) {
	const namespace = "keda"
	ca, err := pki.NewAuthority("KEDA", "KEDAORG", now)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, service := range []string{"keda-operator", "keda-metrics-apiserver", "keda-admission-webhooks"} {
		within := service + "." + namespace
		names = append(names, service, within, within+".svc", within+".svc.cluster.local")
	}
	pair, err := ca.Issue(pki.Subject{Name: names[0], DNS: names}, now)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]any{"name": "kedaorg-certs", "namespace": namespace, "labels": map[string]string{"app": "keda-operator"}},
		"data":       map[string][]byte{"ca.crt": ca.Certificate, "ca.key": ca.Key, "tls.crt": pair.Certificate, "tls.key": pair.Key},
	})
}
