// Package kube asks the local cluster's API server, from inside its network.
package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/component"
	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/place"
)

// timeout bounds one request.
const timeout = 10 * time.Second

// Client is the cluster's administrator.
type Client struct{ http *http.Client }

// New reads the administrator's certificate.
func New(at place.Place) (Client, error) {
	own, errOwn := tls.LoadX509KeyPair(at.Run("pki", "admin.crt"), at.Run("pki", "admin.key"))
	authority, errCA := os.ReadFile(at.Run("pki", "ca.crt"))
	if err := errors.Join(errOwn, errCA); err != nil {
		return Client{}, fmt.Errorf("read the cluster's credentials: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return Client{http: &http.Client{Timeout: timeout, Transport: &http.Transport{
		DialContext:     network.Dial,
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}}, nil
}

// Get reads an object or a list.
func (c Client) Get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+network.Node+":6443"+path, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // the body was read
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// Condition is one of an object's status.
type Condition struct {
	Type, Status, Reason, Message string
}

// Object is what the start and the status need of nodes, pods and API services.
type Object struct {
	Metadata struct{ Namespace, Name string }
	Status   struct {
		Phase      string
		Conditions []Condition
	}
}

// Is reports whether a condition is true.
func (o Object) Is(condition string) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// Why is what a condition says of itself.
func (o Object) Why(condition string) string {
	for _, c := range o.Status.Conditions {
		if c.Type == condition {
			return c.Reason + ": " + c.Message
		}
	}
	return "not reported yet"
}

// List reads the objects of a list.
func (c Client) List(ctx context.Context, path string) ([]Object, error) {
	var list struct{ Items []Object }
	err := c.Get(ctx, path, &list)
	return list.Items, err
}

// Await waits until an object's condition is true.
func (c Client) Await(ctx context.Context, path, condition string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var o Object
		err := c.Get(ctx, path, &o)
		if err == nil && o.Is(condition) {
			return nil
		}
		if err == nil {
			err = errors.New(o.Why(condition))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not %s: %w", path, condition, err)
		case <-tick.C:
		}
	}
}

// Kubectl runs kubectl as the cluster's administrator.
func Kubectl(ctx context.Context, s component.Setup, args ...string) error {
	return inside(ctx, s, "kubectl", append([]string{"--kubeconfig=" + s.Place.Kubeconfig()}, args...)...)
}

// Import gives an image archive to the node.
func Import(ctx context.Context, s component.Setup, archive string) error {
	return inside(ctx, s, "ctr", "--address="+s.Place.Run("containerd", "containerd.sock"), "--namespace=k8s.io", "images", "import", archive)
}

func inside(ctx context.Context, s component.Setup, program string, args ...string) error {
	argv := append([]string{"--net=" + network.File, "--", s.Program(program)}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", argv...) //nolint:gosec // the programs are the cluster's own
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", program, args, err, out)
	}
	return nil
}
