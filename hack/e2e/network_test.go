//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
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

// The balancer's addresses, as a client and as an operator use them.
const (
	balancerPublic = "http://" + balancerName + "." + namespace + ".svc:8081"
	balancerAdmin  = "http://" + balancerName + "." + namespace + ".svc:9091"
)

// get reads JSON from an address into answer.
func (c *cluster) get(ctx context.Context, url string, answer any) error {
	body, err := c.fetch(ctx, url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return nil
}

// fetch reads an address.
func (c *cluster) fetch(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	response, err := c.web.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %.300s", url, response.Status, body)
	}
	return body, nil
}
