package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// headerTimeout bounds a slow request's headers, headerBytes their size.
	headerTimeout = 5 * time.Second
	headerBytes   = 16 << 10
	idleTimeout   = 2 * time.Minute
)

// Serving is how HTTP is answered on a listener.
type Serving struct {
	// Whom names the callers in logs and errors.
	Whom string
	// ReadTimeout bounds one whole request, StopTimeout what is still being answered when serving stops.
	ReadTimeout, StopTimeout time.Duration
	// Logger takes what the server says by itself, at debug level.
	Logger *slog.Logger
}

// Serve answers on the listener, which it closes, until ctx ends; what was asked by then is still answered. It returns nil
// after such a stop.
func (s Serving) Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: s.ReadTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s on %s: %w", s.Whom, listener.Addr(), err)
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
	defer cancel()
	if err := server.Shutdown(stopCtx); err != nil {
		return errors.Join(fmt.Errorf("answer what %s had asked: %w", s.Whom, err), server.Close())
	}
	return nil
}
