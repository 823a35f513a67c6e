package externalscaler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/logkey"
)

// unary counts and times one call, and turns a panic into an error of that call alone.
func (s *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (response any, err error) {
	method, began := path.Base(info.FullMethod), time.Now()
	defer func() {
		s.meters.calls.WithLabelValues(method, status.Code(err).String()).Inc()
		s.meters.seconds.WithLabelValues(method).Observe(time.Since(began).Seconds())
	}()
	defer s.survive(method, &err)
	return handle(ctx, request)
}

// streamed bounds a stream: it ends with the server and after about life, cleanly, so that its client comes back to
// whichever scaler replica then exists. KEDA reopens an ended stream after two seconds and gets the spec at once.
func (s *Server) streamed(serving context.Context, life time.Duration) grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
		method := path.Base(info.FullMethod)
		open := s.meters.streams.WithLabelValues(method)
		open.Inc()
		defer func() {
			open.Dec()
			s.meters.calls.WithLabelValues(method, status.Code(err).String()).Inc()
		}()
		defer s.survive(method, &err)
		// Spread by a tenth, so that the streams of one moment do not all come back in one moment.
		ctx, cancel := context.WithTimeout(stream.Context(), life+rand.N(life/10+1))
		defer cancel()
		defer context.AfterFunc(serving, cancel)()
		return handle(server, boundedStream{ServerStream: stream, ctx: ctx})
	}
}

// survive is deferred around a handler.
func (s *Server) survive(method string, err *error) {
	if cause := recover(); cause != nil {
		s.logger.Error("a call panicked", slog.String(logkey.Method, method),
			slog.Any(logkey.Err, cause), slog.String(logkey.Stack, string(debug.Stack())))
		*err = status.Error(codes.Internal, "the scaler failed on this call: see its log")
	}
}

// boundedStream is a stream whose context ends earlier.
type boundedStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context ends with the stream, the server, or the stream's life.
func (b boundedStream) Context() context.Context { return b.ctx }
