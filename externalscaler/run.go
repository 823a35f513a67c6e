package externalscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/tidegate/tidegate/internal/logkey"
)

const (
	// maxMessageSize bounds one request or answer; a ScaledObject's metadata is far smaller.
	maxMessageSize = 64 << 10
	// maxHeaderList bounds the headers of one request.
	maxHeaderList = 16 << 10
	// maxStreams bounds the calls open on one connection; KEDA keeps two streams a ScaledObject on one connection.
	maxStreams = 10_000
	// handshakeTimeout bounds connecting, TLS included.
	handshakeTimeout = 10 * time.Second
	// Keepalive finds callers that vanished; KEDA itself sends none.
	keepaliveAfter   = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	// minPing is the shortest interval at which a caller may ping.
	minPing = 10 * time.Second
	// stopTimeout bounds waiting for calls that are being answered when the server stops.
	stopTimeout = 5 * time.Second
)

// Run serves KEDA on the addresses of the options until ctx ends; then open streams end and Run returns nil. It waits for
// TLS files that do not exist yet, alive but not ready.
func Run(ctx context.Context, o Options, decisions Decisions, logger *slog.Logger, options ...Option) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if !o.MetadataLimits {
		options = append(options, WithoutMetadataLimits())
	}
	var events *clusterEvents
	if o.KubernetesEvents {
		var err error
		if events, err = newClusterEvents(o.Kubeconfig, logger); err != nil {
			return err
		}
		options = append(options, WithEvents(events))
	}
	server := New(decisions, logger, options...)
	group, ctx := errgroup.WithContext(ctx)
	if o.AdminListen != "" {
		admin, err := o.vitals().Open(ctx)
		if err != nil {
			return err
		}
		group.Go(func() error { return server.serveAdmin(ctx, admin) })
	}
	if events != nil {
		group.Go(func() error {
			events.run(ctx)
			return nil
		})
	}
	group.Go(func() error { return server.serveCalls(ctx, o) })
	return group.Wait()
}

// serveCalls opens the gRPC port once there is a certificate, so that until then callers are refused instead of kept waiting.
func (s *Server) serveCalls(ctx context.Context, o Options) error {
	if !o.await(ctx, s.logger) {
		return nil
	}
	listener, err := o.calls().Open(ctx)
	if err != nil {
		return err
	}
	return s.Serve(ctx, listener, o)
}

// Serve answers gRPC calls on a listener, which it closes, until ctx ends. Of the options it takes TLS and the
// connection age. It returns nil after a stop that ctx asked for.
func (s *Server) Serve(ctx context.Context, listener net.Listener, o Options) error {
	server, vitals, err := s.grpcServer(ctx, o)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	s.logger.Info("the external scaler takes calls",
		slog.String(logkey.Addr, listener.Addr().String()), slog.Bool("tls", o.CertFile != ""), slog.Bool("mtls", o.ClientCAFile != ""))
	s.ready.Store(true)
	defer s.ready.Store(false)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve gRPC on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.ready.Store(false)
	vitals.Shutdown()
	// Streams end by their own context, which ctx ended; only a call that hangs is cut.
	cut := time.AfterFunc(stopTimeout, server.Stop)
	defer cut.Stop()
	server.GracefulStop()
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %s: %w", listener.Addr(), err)
	}
	return nil
}

// grpcServer assembles the service, its health service and its bounds.
func (s *Server) grpcServer(ctx context.Context, o Options) (*grpc.Server, *health.Server, error) {
	age := o.ConnectionAge
	settings := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageSize),
		grpc.MaxSendMsgSize(maxMessageSize),
		grpc.MaxHeaderListSize(maxHeaderList),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: keepaliveAfter, Timeout: keepaliveTimeout,
			// Streams end by themselves within their own age; the grace is for those that opened last.
			MaxConnectionAge: age, MaxConnectionAgeGrace: 2 * age,
		}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.streamed(ctx, age)),
	}
	if o.CertFile != "" {
		certificates, err := newCertificates(o, s.logger)
		if err != nil {
			return nil, nil, err
		}
		settings = append(settings, grpc.Creds(credentials.NewTLS(certificates.serverConfig())))
	}
	server := grpc.NewServer(settings...)
	pb.RegisterExternalScalerServer(server, s)
	vitals := health.NewServer()
	vitals.SetServingStatus(pb.ExternalScaler_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, vitals)
	return server, vitals, nil
}
