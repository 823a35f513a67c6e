//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"
)

// The status page in a real browser: the fleet grows and shrinks on it.
func TestFullStatusPage(t *testing.T) {
	c := town.cluster
	b := c.sockets(t, "page", plan{min: 2, max: 6, trigger: quick()})
	clients := b.crowd(t, 60)
	tab := browse(t, c.pageAddress(t)+"/?fleet="+url.QueryEscape(b.id.String()))
	shows := func(what string, want ...string) {
		t.Helper()
		eventually(t, 4*time.Minute, "the page shows "+what, func() error {
			got := []string{tab.text(t, "desired"), tab.text(t, "serving"), tab.eval(t, "String(document.getElementById('nodes-body')?.rows.length ?? 0)")}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("desired, serving and rows of nodes are %v", got)
			}
			return nil
		})
	}
	shows("the fleet at its minimum", "2", "2", "2")
	clients.want(t, 320)
	shows("the fleet grown", "4", "4", "4")
	if got := tab.text(t, "clients"); got != "320" {
		t.Logf("clients on the page: %s", got)
	}
	clients.want(t, 100)
	shows("the fleet shrunk", "2", "2", "2")
	if picture := town.settings.screenshot; picture != "" {
		tab.picture(t, town.settings.below(picture))
	}
	if state := tab.eval(t, "document.getElementById('live').dataset.state"); state != "live" {
		t.Errorf("the page's stream is %q: it shows what was", state)
	}
	if noise := tab.eval(t, "String(document.getElementById('decisions').children.length)"); noise == "0" {
		t.Error("the page lists no decision although the fleet grew and shrank")
	}
	clients.settle(t)
}

// pageAddress is the balancer's Service by its address: the browser does not ask the cluster's DNS.
func (c *cluster) pageAddress(t *testing.T) string {
	t.Helper()
	conn, err := c.dial(nil)(t.Context(), "tcp", balancerName+":8081")
	if err != nil {
		t.Fatalf("reach the balancer: %v", err)
	}
	defer conn.Close()
	host, port, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + net.JoinHostPort(host, port)
}
