package socket

import (
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
)

// admin serves health, metrics and the drain.
func (n *node) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+keys.PathHealth, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("alive\n")) // a prober that has gone needs no answer
	})
	mux.HandleFunc("GET "+keys.PathReady, n.ready)
	mux.HandleFunc("GET "+keys.PathDrain, n.drain)
	mux.HandleFunc("POST "+keys.PathDrain, n.drain)
	mux.HandleFunc("GET "+keys.PathDrainStatus, func(w http.ResponseWriter, _ *http.Request) {
		n.answer(w, http.StatusOK)
	})
	mux.Handle("GET "+keys.PathMetrics, promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{Registry: n.metrics.registry}))
	if n.o.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// ready answers 503 while the node starts or drains, and only then: a pod that is not ready dies first.
func (n *node) ready(w http.ResponseWriter, _ *http.Request) {
	state := n.lifecycle.state()
	if state != fleet.Serving {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(state.String() + "\n")) // a prober that has gone needs no answer
}

// drain starts the drain, or joins it, and answers when the node is empty or the deadline has passed. A caller that
// goes away stops nothing.
func (n *node) drain(w http.ResponseWriter, r *http.Request) {
	if !n.mayDrain(r) {
		n.logger.Warn("drain refused: wrong nonce", slog.String(logkey.Remote, r.RemoteAddr))
		http.Error(w, "drain needs this pod's nonce in the header "+keys.HeaderNonce, http.StatusForbidden)
		return
	}
	d := n.depart(reasonDrain, n.o.DrainTimeout)
	select {
	case <-d.done:
		n.answer(w, http.StatusOK)
	case <-r.Context().Done():
	case <-n.ctx.Done():
		n.answer(w, http.StatusOK)
	}
}

// mayDrain checks the nonce. Without one only a node in dev mode can be drained by whoever reaches its admin port.
func (n *node) mayDrain(r *http.Request) bool {
	if n.o.DrainNonce == "" {
		return n.o.Token.Dev
	}
	return subtle.ConstantTimeCompare([]byte(r.Header.Get(keys.HeaderNonce)), []byte(n.o.DrainNonce)) == 1
}

func (n *node) answer(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(n.lifecycle.summary(n.id, n.now(), int(n.open.Load()))) // the caller may have gone
}
