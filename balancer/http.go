package balancer

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidegate/tidegate/balancer/page"
	"github.com/tidegate/tidegate/balancer/resolve"
	"github.com/tidegate/tidegate/balancer/victim"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
)

// Handler is the public side: keys.PathResolve for clients and the status page with its API.
func (b *Balancer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(keys.PathResolve, resolve.Handler(resolve.Config{
		Tables: b.tables, Verifier: b.Verifier, Raw: b.Raw, Count: b.metrics.resolved, Logger: b.Logger,
	}))
	mux.Handle("/", page.Handler(b.page, b.Logger))
	return mux
}

// Admin is the side for operators, the webhook and probes; it never goes behind a gateway.
func (b *Balancer) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+keys.PathHealth, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+keys.PathReady, b.serveReady)
	mux.HandleFunc("GET "+keys.PathVictims, b.serveVictims)
	mux.HandleFunc("GET "+keys.PathDecision, b.serveDecision)
	mux.Handle("GET "+keys.PathMetrics, promhttp.HandlerFor(b.Registry, promhttp.HandlerOpts{}))
	if b.Profile {
		serveProfiles(mux)
	}
	return mux
}

// serveReady answers 503 until Redis was read once: before that there is nothing to serve. Later outages do not count,
// since every answer comes from memory.
func (b *Balancer) serveReady(w http.ResponseWriter, _ *http.Request) {
	if !b.ready.Load() {
		b.refuse(w, http.StatusServiceUnavailable, "Redis was not read yet, or this replica stops")
		return
	}
	w.WriteHeader(http.StatusOK)
}

// Victims is the answer of keys.PathVictims.
type Victims struct {
	Fleet fleet.ID `json:"fleet"`
	// Victims are the nodes that should leave next, the first to go first, at most count: those that the newest decision
	// nominates, then those with the least to lose. Nodes that drain have left already and are never among them, so that a
	// caller counts only the nodes that it takes away anew.
	Victims []fleet.NodeID `json:"victims"`
	// TableVersion is that of the shard table that was seen with them.
	TableVersion uint64 `json:"tableVersion"`
}

// mostVictims bounds ?count=; nobody runs more nodes in one fleet.
const mostVictims = 100_000

func (b *Balancer) serveVictims(w http.ResponseWriter, r *http.Request) {
	seen, ok := b.view(w, r)
	if !ok {
		return
	}
	count := 1
	if text := r.URL.Query().Get("count"); text != "" {
		parsed, err := strconv.Atoi(text)
		if err != nil || parsed < 1 || parsed > mostVictims {
			b.refuse(w, http.StatusBadRequest, fmt.Sprintf("count %.40q: want a number from 1 to %d", text, mostVictims))
			return
		}
		count = parsed
	}
	answer := Victims{Fleet: seen.model.ID, Victims: victim.Pick(b.nominated(seen), seen.model.Nodes, count)}
	if seen.table != nil {
		answer.TableVersion = seen.table.Version
	}
	b.write(w, http.StatusOK, answer)
}

// nominated are the victims of the newest decision. A replica that follows may have heard of one since it last looked at
// the fleet.
func (b *Balancer) nominated(seen *view) []fleet.NodeID {
	d := seen.decision
	heard, now, ok := b.decisions.Latest(seen.model.ID)
	newer := heard.Fence > d.Fence || heard.Fence == d.Fence && heard.RefreshedAt.After(d.RefreshedAt)
	if ok && newer && !heard.Expired(now) {
		d = heard
	}
	return d.Victims
}

func (b *Balancer) serveDecision(w http.ResponseWriter, r *http.Request) {
	seen, ok := b.view(w, r)
	if !ok {
		return
	}
	if seen.decision.Sequence == 0 {
		b.refuse(w, http.StatusNotFound, fmt.Sprintf("fleet %s has no decision yet", seen.model.ID))
		return
	}
	b.write(w, http.StatusOK, seen.decision)
}

// view finds the fleet that a request names; it has answered when it returns false.
func (b *Balancer) view(w http.ResponseWriter, r *http.Request) (*view, bool) {
	id, err := fleet.Parse(r.URL.Query().Get(keys.QueryFleet))
	if err != nil {
		b.refuse(w, http.StatusBadRequest, fmt.Sprintf("?%s=: %s", keys.QueryFleet, err))
		return nil, false
	}
	if seen, ok := b.views.Load(id); ok {
		return seen.(*view), true
	}
	b.refuse(w, http.StatusNotFound, fmt.Sprintf("fleet %s is not known here: none of its nodes ever sent a heartbeat", id))
	return nil, false
}

// refuse answers with a problem in words.
func (b *Balancer) refuse(w http.ResponseWriter, status int, problem string) {
	b.write(w, status, map[string]string{"error": problem})
}

func (b *Balancer) write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		b.Logger.Error("an answer cannot be written", slog.Any(logkey.Err, err))
		status, body = http.StatusInternalServerError, []byte("{}")
	}
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here is a caller that left; there is nobody to tell.
	_, _ = w.Write(body)
}
