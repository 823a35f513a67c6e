// Package externalscaler answers KEDA: its external-scaler gRPC service over the balancer's newest decision.
//
// KEDA asks three questions for every look of the HPA, and one that fails fails the look. So GetMetricSpec and
// IsActive never fail and read memory only; GetMetrics alone says that there is no answer, with a code and words:
// UNAVAILABLE (no fresh decision, so that the ScaledObject's fallback takes over), INVALID_ARGUMENT (the trigger
// metadata is wrong) or NOT_FOUND (nobody ever decided for this fleet). No call changes anything, however often
// and by how many KEDA replicas it is made.
package externalscaler

import (
	"log/slog"
	"sync/atomic"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
)

// Decisions is where the newest decision of a fleet is read, from memory.
// Implementations are safe for concurrent use and never block.
type Decisions interface {
	// Latest returns the newest decision and the time by the clock that stamped its ExpiresAt (the Redis server's).
	// Without a decision ok is false; then a zero time says that nothing could be read yet,
	// any other that the fleet is not known.
	Latest(id fleet.ID) (d decision.Decision, now time.Time, ok bool)
	// Changed is closed when the fleet's decision changes for the next time.
	Changed(id fleet.ID) <-chan struct{}
}

// Server answers KEDA's calls. It is safe for concurrent use.
type Server struct {
	pb.UnimplementedExternalScalerServer

	decisions Decisions
	events    Events
	notices   *notices
	registry  *prometheus.Registry
	meters    *meters
	limits    bool
	logger    *slog.Logger
	ready     atomic.Bool
}

// Option changes a server that New makes.
type Option func(*Server)

// WithRegistry registers the server's metrics there instead of in a registry of its own.
// One registry holds the metrics of one server.
func WithRegistry(registry *prometheus.Registry) Option {
	return func(s *Server) { s.registry = registry }
}

// WithEvents reports answers that failed, and their recovery, to events instead of the log.
func WithEvents(events Events) Option {
	return func(s *Server) { s.events = events }
}

// WithoutMetadataLimits serves decisions as they are. In a cluster the balancer reads minReplicas and maxReplicas
// from the ScaledObject it watches; outside one the metadata of the call is all there is, and bounds the answer.
func WithoutMetadataLimits() Option {
	return func(s *Server) { s.limits = false }
}

// New makes a server over decisions.
func New(decisions Decisions, logger *slog.Logger, options ...Option) *Server {
	s := &Server{decisions: decisions, limits: true, logger: logger}
	for _, option := range options {
		option(s)
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	if s.events == nil {
		s.events = logEvents{logger: logger}
	}
	s.notices = newNotices(s.events)
	s.meters = newMeters(s.registry)
	return s
}
