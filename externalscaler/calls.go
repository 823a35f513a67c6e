package externalscaler

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// IsActive is always true: a fleet that the scaler is asked about may have pods, and scaling to zero would cut them.
func (s *Server) IsActive(context.Context, *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	return &pb.IsActiveResponse{Result: true}, nil
}

// StreamIsActive says once that the fleet is active, then stays open until the client or the server ends it.
func (s *Server) StreamIsActive(_ *pb.ScaledObjectRef, stream grpc.ServerStreamingServer[pb.IsActiveResponse]) error {
	if err := stream.Send(&pb.IsActiveResponse{Result: true}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// GetMetricSpec names the metric and its target. It never fails, whatever the metadata holds.
func (s *Server) GetMetricSpec(_ context.Context, ref *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	d, decided := s.decided(ref)
	return scaleOf(ref.GetScalerMetadata()).spec(d, decided), nil
}

// StreamMetricSpec sends the metric spec at once, and anew each time the decision's sequence changes: KEDA then
// rewrites the HPA, and the HPA acts without waiting for its next look.
func (s *Server) StreamMetricSpec(ref *pb.ScaledObjectRef, stream grpc.ServerStreamingServer[pb.GetMetricSpecResponse]) error {
	var (
		sent      uint64
		sentAny   bool // a spec was sent
		sentAfter bool // it was sent after a decision
		scale     = scaleOf(ref.GetScalerMetadata())
	)
	for {
		// The channel comes before the decision, so that a change between the two ends the wait at once.
		changed := s.changed(ref)
		d, decided := s.decided(ref)
		if !sentAny || decided && (!sentAfter || d.Sequence != sent) {
			if err := stream.Send(scale.spec(d, decided)); err != nil {
				return err
			}
			sent, sentAny, sentAfter = d.Sequence, true, decided
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-changed:
		}
	}
}

// GetMetrics answers the one value that HPA turns into the replica count, or says why there is none.
func (s *Server) GetMetrics(ctx context.Context, request *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	ref := request.GetScaledObjectRef()
	response, id, words, bad := s.metrics(ref, request.GetMetricName())
	if bad != nil {
		s.notices.refused(ctx, ref, id, bad)
		return nil, status.Error(bad.code, bad.message)
	}
	s.notices.answered(ctx, ref, id, words)
	return response, nil
}

// metrics computes the answer or the refusal, and the fleet that was asked for when the reference names one; an answer
// other than the decision comes with words.
func (s *Server) metrics(ref *pb.ScaledObjectRef, metric string) (response *pb.GetMetricsResponse, id fleet.ID, words string, bad *refusal) {
	id, p, bad := read(ref)
	if bad != nil {
		return nil, id, "", bad
	}
	scale, known := scaleNamed(metric, scaleOf(ref.GetScalerMetadata()))
	if !known {
		return nil, id, "", unknownMetric(metric)
	}
	d, now, ok := s.latest(id)
	if bad := judge(id, p, d, now, ok); bad != nil {
		return nil, id, "", bad
	}
	count := d.Served(now)
	if s.limits && d.Mode != string(policy.Shadow) { // what runs already is not for us to limit
		count, words = limited(count, p)
	}
	s.meters.answered(id, count, now.Sub(d.RefreshedAt))
	return scale.value(count), id, words, nil
}

// decided is the newest decision for the fleet that a reference names, readable or not.
func (s *Server) decided(ref *pb.ScaledObjectRef) (decision.Decision, bool) {
	id, err := fleetOf(ref)
	if err != nil {
		return decision.Decision{}, false
	}
	d, _, ok := s.latest(id)
	return d, ok
}

// changed is nil, and so never ready, for a reference that names no fleet.
func (s *Server) changed(ref *pb.ScaledObjectRef) <-chan struct{} {
	id, err := fleetOf(ref)
	if err != nil {
		return nil
	}
	return s.decisions.Changed(id)
}

// latest survives a panic below it: a decision that cannot be read is no decision, and GetMetricSpec still answers.
func (s *Server) latest(id fleet.ID) (d decision.Decision, now time.Time, ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.logger.Error("reading a decision panicked",
				slog.String(logkey.Fleet, id.String()), slog.Any(logkey.Err, cause), slog.String(logkey.Stack, string(debug.Stack())))
			d, now, ok = decision.Decision{}, time.Time{}, false
		}
	}()
	return s.decisions.Latest(id)
}
