package actuator

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxPushRetry is the longest wait before an ended stream is opened again, as in KEDA.
const maxPushRetry = time.Minute

// follow keeps a StreamMetricSpec open and hands on that something came, until ctx ends or the scaler says that it has
// no such call.
func (a *Actuator) follow(ctx context.Context, pushes chan<- struct{}) {
	wait := a.c.PushRetry
	for {
		received, err := a.followOnce(ctx, pushes)
		if status.Code(err) == codes.Unimplemented {
			return
		}
		if received {
			wait = a.c.PushRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(2*wait, maxPushRetry)
	}
}

// followOnce reads one stream to its end.
func (a *Actuator) followOnce(ctx context.Context, pushes chan<- struct{}) (received bool, err error) {
	stream, err := a.c.Scaler.StreamMetricSpec(ctx, a.c.Object)
	if err != nil {
		return false, err
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return received, err
		}
		received = true
		select {
		case pushes <- struct{}{}:
		default:
			// One look answers all that came before it.
		}
	}
}
