package externalscaler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidegate/tidegate/internal/keys"
)

const (
	adminHeaderTimeout = 5 * time.Second
	adminIdleTimeout   = time.Minute
)

// Admin serves the probes and metrics: kubelet's own gRPC probe speaks no TLS.
// A scaler is ready as soon as it takes calls, whether or not decisions can be read: GetMetricSpec must be answered.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+keys.PathHealth, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+keys.PathReady, func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "the gRPC service does not take calls", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	mux.Handle("GET "+keys.PathMetrics, promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	return mux
}

// serveAdmin serves Admin on a listener, which it closes, until ctx ends.
func (s *Server) serveAdmin(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: s.Admin(), ReadHeaderTimeout: adminHeaderTimeout, IdleTimeout: adminIdleTimeout}
	stopped := context.AfterFunc(ctx, func() {
		// Probes are short: what is still open belongs to a caller that hangs.
		_ = server.Close()
	})
	defer stopped()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the scaler's admin port on %s: %w", listener.Addr(), err)
	}
	return nil
}
