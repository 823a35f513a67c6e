package page

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

const (
	// heartbeat is how often an idle stream carries a comment, so that proxies keep it open.
	heartbeat = 15 * time.Second
	// frameTimeout is how long a browser may take to accept one frame before its stream ends.
	frameTimeout = 10 * time.Second
	// contentPolicy lets the page load only what this server sends: no inline script or style, no other host.
	contentPolicy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)

type server struct {
	feed   *Feed
	logger *slog.Logger
}

// status is the answer of /api/v1/status; Snapshot is null while there is no fleet.
type status struct {
	Fleets   []fleet.ID      `json:"fleets"`
	Snapshot json.RawMessage `json:"snapshot"`
}

// Handler serves the page at "/", its files below "/assets/", and the feed as JSON: "/api/v1/status",
// "/api/v1/history" and "/api/v1/events". Each takes ?fleet=namespace/name; without it the first fleet answers.
// Close the feed when the server shuts down, or its event streams keep it waiting.
func Handler(f *Feed, logger *slog.Logger) http.Handler {
	s := &server{feed: f, logger: logger}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { serveAsset(w, r, "index.html") })
	mux.HandleFunc("GET /assets/{path...}", func(w http.ResponseWriter, r *http.Request) { serveAsset(w, r, r.PathValue("path")) })
	mux.HandleFunc("GET /api/v1/status", s.status)
	mux.HandleFunc("GET /api/v1/history", s.history)
	mux.HandleFunc("GET /api/v1/events", s.events)
	return guarded(mux)
}

// guarded sets on every answer what keeps a browser from being used against the page.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	id, ok := s.choose(w, r)
	if !ok {
		return
	}
	answer := status{Fleets: s.feed.known()}
	if newest := s.feed.latest(id); newest != nil {
		body, err := newest.encode()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		answer.Snapshot = body
	}
	s.write(w, r, answer)
}

func (s *server) history(w http.ResponseWriter, r *http.Request) {
	id, ok := s.choose(w, r)
	if !ok {
		return
	}
	since := 0.0
	if text := r.URL.Query().Get("since"); text != "" {
		parsed, err := strconv.ParseFloat(text, 64)
		// The comparison is written so that NaN fails it.
		if err != nil || !(parsed >= 0) {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("since %.40q: want Unix time in seconds, as in ?since=1767225600", text))
			return
		}
		since = parsed
	}
	past, known := s.feed.past(id, since)
	if !known {
		past = History{Columns: columns(nil), Changes: []Change{}}
	}
	s.write(w, r, past)
}

// choose reads ?fleet=, or takes the first fleet; it has answered when it returns false.
// The id is zero while there is no fleet at all and none was asked for.
func (s *server) choose(w http.ResponseWriter, r *http.Request) (fleet.ID, bool) {
	text := r.URL.Query().Get("fleet")
	if text == "" {
		if ids := s.feed.known(); len(ids) > 0 {
			return ids[0], true
		}
		return fleet.ID{}, true
	}
	id, err := fleet.Parse(text)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return fleet.ID{}, false
	}
	if s.feed.latest(id) == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("fleet %q is unknown here: /api/v1/status lists those that are", id))
		return fleet.ID{}, false
	}
	return id, true
}

func (s *server) write(w http.ResponseWriter, r *http.Request, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, body)
}

// fail reports a fault of ours: logged here, once, and told without its inside.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.logger.LogAttrs(r.Context(), slog.LevelError, "status page cannot answer",
		slog.String(logkey.Path, r.URL.Path), slog.String(logkey.Err, err.Error()))
	refuse(w, http.StatusInternalServerError, "the answer could not be written; the balancer's log says why")
}

// refuse answers with a problem in words.
func refuse(w http.ResponseWriter, code int, problem string) {
	body, err := json.Marshal(map[string]string{"error": problem})
	if err != nil {
		// A map of strings always encodes; the status code alone still tells the truth.
		body = []byte(`{}`)
	}
	reply(w, code, body)
}

func reply(w http.ResponseWriter, code int, body []byte) {
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// An error here is a browser that left; there is nobody to tell.
	_, _ = w.Write(append(body, '\n'))
}
