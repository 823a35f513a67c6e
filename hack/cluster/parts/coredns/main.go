// Command coredns is the cluster's name server: CoreDNS with only the plugins that a cluster of one machine needs, which
// builds in a fraction of the time.
package main

import (
	"context"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	// A plugin registers itself when it is imported.
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	plugin.Register(nowhere{}.Name(), func(c *caddy.Controller) error {
		dnsserver.GetConfig(c).AddPlugin(func(plugin.Handler) plugin.Handler { return nowhere{} })
		return nil
	})
	// The order in which a query passes through the plugins.
	dnsserver.Directives = []string{"health", "ready", "errors", "cache", "kubernetes", nowhere{}.Name()}
	coremain.Run()
}

// nowhere is the last plugin: the cluster has no way out, so a name that it does not know does not exist. Without it the
// answer would be SERVFAIL, which clients take for a fault that passes.
type nowhere struct{}

// Name is the plugin's word in the Corefile.
func (nowhere) Name() string { return "nowhere" }

// ServeDNS answers NXDOMAIN.
func (nowhere) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	answer := new(dns.Msg).SetRcode(r, dns.RcodeNameError)
	return dns.RcodeNameError, w.WriteMsg(answer)
}
