//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dialTimeout bounds one connection; a pod that is gone answers nothing at all.
const dialTimeout = 5 * time.Second

// dial opens connections by the cluster's own names, asking the cluster's DNS. wrap may replace a connection; nil
// leaves it.
func (c *cluster) dial(wrap func(net.Conn, string) net.Conn) func(ctx context.Context, network, address string) (net.Conn, error) {
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, c.about.DNS)
		},
	}
	dialer := &net.Dialer{Timeout: dialTimeout, Resolver: resolver}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, qualified(address))
		if err != nil || wrap == nil {
			return conn, err
		}
		return wrap(conn, address), nil
	}
}

// qualified completes a name that a pod's search list would complete.
func qualified(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil {
		return address
	}
	switch {
	case strings.HasSuffix(host, ".svc"):
		host += ".cluster.local."
	case strings.HasSuffix(host, ".svc.cluster.local"):
		host += "."
	case !strings.Contains(host, "."):
		host += "." + namespace + ".svc.cluster.local."
	}
	return net.JoinHostPort(host, port)
}

// throughTheGateway replaces a node's address by the one that TIDEGATE_URL would tell clients where they come through the
// gateway: the node's name.
func (c *cluster) throughTheGateway(r *http.Request) error {
	host := r.URL.Hostname()
	name, _, _ := strings.Cut(host, ".")
	if net.ParseIP(host) != nil {
		pods, err := c.kube.CoreV1().Pods(namespace).List(r.Context(), metav1.ListOptions{FieldSelector: "status.podIP=" + host})
		if err != nil {
			return fmt.Errorf("find the node at %s: %w", host, err)
		}
		if len(pods.Items) == 0 {
			return fmt.Errorf("no pod is at %s any more", host)
		}
		name = pods.Items[0].Name
	}
	entry, err := url.Parse(gateway)
	if err != nil {
		return fmt.Errorf("read the gateway's address: %w", err)
	}
	r.URL.Host, r.Host, r.URL.Path = entry.Host, entry.Host, "/n/"+name+r.URL.Path
	return nil
}

// The gateway's address, and the balancer's, as a client and as an operator use them.
const (
	gateway        = "http://" + gatewayName + "." + namespace + ".svc:80"
	balancerPublic = "http://" + balancerName + "." + namespace + ".svc:8081"
	balancerAdmin  = "http://" + balancerName + "." + namespace + ".svc:9091"
)

// get reads JSON from an address into answer.
func (c *cluster) get(ctx context.Context, address string, answer any) error {
	body, err := c.fetch(ctx, address)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return nil
}

// fetch reads an address.
func (c *cluster) fetch(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	response, err := c.web.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %.300s", address, response.Status, body)
	}
	return body, nil
}
