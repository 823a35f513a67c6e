// Package balancer is the brain: it reads a fleet's heartbeats, decides how many nodes there should be, moves shards
// between them, and tells clients where to connect. One replica leads and writes; every replica serves what it reads.
package balancer

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/balancer/audit"
	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/token"
)

// Deps are what a balancer is made of. Redis, Elector and Verifier must be given; the rest has defaults.
type Deps struct {
	// Redis is closed by the caller, after Run has returned.
	Redis redis.UniversalClient
	// Elector says when this replica leads.
	Elector lead.Elector
	// Verifier tells which client asks to be resolved; Raw finds its token in a request (default token.FromRequest).
	Verifier token.Verifier
	Raw      func(*http.Request) (string, token.Source)
	// Audit records decisions (default: nowhere).
	Audit audit.Sink
	// Policies is the policy of a fleet of which Facts know none of its own, and must be valid (default policy.Default). It
	// is asked at every tick and must be fast and safe for concurrent use.
	Policies func(fleet.ID) policy.Policy
	// Probe asks the admin port at a base URL whether its node lives (default: GET /healthz).
	Probe func(ctx context.Context, adminURL string) error
	// Source is where loads come from (default: heartbeats in Redis).
	Source load.Source
	// Facts is what Kubernetes says of the fleets, and Events tells its users (default: nothing and nobody).
	Facts  Facts
	Events Events
	// Registry takes the metrics and serves them on the admin port (default: a new one).
	Registry *prometheus.Registry
	// Shards is the size of the table of a fleet that has none yet: the partitions of its inbox topic (default 1024).
	Shards int
	// Interval is the time between two ticks (default 1s).
	Interval time.Duration
	// Timeout bounds each Redis call (default 1s) and ProbeTimeout each probe (default 500ms).
	Timeout, ProbeTimeout time.Duration
	// Profile serves pprof on the admin port.
	Profile bool
	// History is how many points the status page keeps of each fleet as they came (default 900).
	History int
	// Logger is told which component speaks by the caller.
	Logger *slog.Logger
}

// The defaults of Deps.
const (
	defaultShards       = 1024
	defaultInterval     = time.Second
	defaultTimeout      = time.Second
	defaultProbeTimeout = 500 * time.Millisecond
	defaultHistory      = 900
)

func (d Deps) withDefaults() Deps {
	if d.Raw == nil {
		d.Raw = token.FromRequest
	}
	if d.Audit == nil {
		d.Audit = nowhere{}
	}
	if d.Policies == nil {
		d.Policies = func(fleet.ID) policy.Policy { return policy.Default() }
	}
	if d.Probe == nil {
		d.Probe = newProber().probe
	}
	if d.Source == nil {
		d.Source = heartbeats{client: d.Redis}
	}
	if d.Facts == nil {
		d.Facts = nothing{}
	}
	if d.Events == nil {
		d.Events = nothing{}
	}
	if d.Registry == nil {
		d.Registry = prometheus.NewRegistry()
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Shards = or(d.Shards, defaultShards)
	d.Interval = or(d.Interval, defaultInterval)
	d.Timeout = or(d.Timeout, defaultTimeout)
	d.ProbeTimeout = or(d.ProbeTimeout, defaultProbeTimeout)
	d.History = or(d.History, defaultHistory)
	return d
}

func or[T int | time.Duration](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}

// nowhere is the record of a balancer without one.
type nowhere struct{}

func (nowhere) Record(decision.Decision) {}

// heartbeats is the load of our own socket nodes.
type heartbeats struct{ client redis.UniversalClient }

func (h heartbeats) Heartbeats(ctx context.Context, id fleet.ID) ([]load.Heartbeat, time.Time, []error, error) {
	return beat.Read(ctx, h.client, id)
}
