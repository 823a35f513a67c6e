// Package demo shows the whole loop on one machine: embedded Redis and Kafka, the real balancer and scaler, socket
// nodes as child processes, a crowd of clients, and a stand-in for KEDA, HPA and kubelet.
package demo

import (
	"errors"
	"fmt"
	"time"
)

// Options are the flags of `tidegate demo`.
type Options struct {
	Clients  int           `name:"clients" env:"TIDEGATE_DEMO_CLIENTS" default:"240" help:"Clients at the height of the day, 60 to 2000."`
	Duration time.Duration `name:"duration" env:"TIDEGATE_DEMO_DURATION" default:"95s" help:"Length of the day, 60s to 1h; starting and settling come on top."`
	Seed     uint64        `name:"seed" env:"TIDEGATE_DEMO_SEED" default:"1" help:"Who writes to whom, and which node dies with --chaos."`
	Chaos    bool          `name:"chaos" env:"TIDEGATE_DEMO_CHAOS" help:"Kill a node without a word (kill -9) at the height of the day; still nothing may be lost."`
	Keep     bool          `name:"keep" env:"TIDEGATE_DEMO_KEEP" help:"Stay up after the result, for the status page, until interrupted."`
	Port     int           `name:"port" env:"TIDEGATE_DEMO_PORT" default:"8080" help:"Port of the status page on 127.0.0.1; 0 takes a free one."`
	Plain    bool          `name:"plain" env:"TIDEGATE_DEMO_PLAIN" help:"Print progress as lines instead of a bar; the default when the output is no terminal."`
}

// The bounds of the options: fewer clients or less time and the fleet would have no reason to grow.
const (
	leastClients, mostClients   = 60, 2000
	leastDuration, mostDuration = time.Minute, time.Hour
	mostPort                    = 65535
)

// Validate names each wrong option with its value and the fix.
func (o Options) Validate() error {
	var problems []error
	if o.Clients < leastClients || o.Clients > mostClients {
		problems = append(problems, fmt.Errorf("--clients is %d: give %d to %d", o.Clients, leastClients, mostClients))
	}
	if o.Duration < leastDuration || o.Duration > mostDuration {
		problems = append(problems, fmt.Errorf("--duration is %s: give %s to %s", o.Duration, leastDuration, mostDuration))
	}
	if o.Port < 0 || o.Port > mostPort {
		problems = append(problems, fmt.Errorf("--port is %d: give 1 to %d, or 0 for a free one", o.Port, mostPort))
	}
	return errors.Join(problems...)
}
