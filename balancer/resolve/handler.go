package resolve

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
)

// retryAfter is how long a client without an owner waits: a new leader takes about as long.
const retryAfter = time.Second

// Tables are the newest shard tables, in memory.
type Tables interface {
	// Latest is the fleet's table; false while it has none.
	Latest(id fleet.ID) (table *shard.Table, now time.Time, ok bool)
	// Fleets lists the known fleets, sorted.
	Fleets() []fleet.ID
}

// Config is what a handler needs.
type Config struct {
	Tables Tables
	// Verifier tells who the client is; Raw finds what it is given in the request.
	Verifier token.Verifier
	Raw      func(*http.Request) (string, token.Source)
	// Count is told the status of each answer. Optional.
	Count  func(status int)
	Logger *slog.Logger
}

// Handler answers GET with an Answer in JSON: 401 without a valid token, 400 or 404 for a fleet that is not named or not
// known, 503 with Retry-After while nobody owns the client's shard. ?fleet=namespace/name is needed only where several
// fleets are served.
func Handler(c Config) http.Handler {
	if c.Count == nil {
		c.Count = func(int) {}
	}
	return &handler{c}
}

type handler struct{ Config }

// problem is an answer that is none, in words.
type problem struct {
	status       int
	Message      string `json:"error"`
	RetryAfterMS int64  `json:"retryAfterMs,omitempty"`
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	// Browsers ask from the application's own origin. The answer depends on the token in the request, never on a
	// cookie, so any origin may read it.
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.answer(w, r)
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "GET, HEAD")
		header.Set("Access-Control-Allow-Headers", "Authorization")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		h.write(w, http.StatusMethodNotAllowed, problem{Message: "method " + r.Method + " is not allowed: use GET"})
	}
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request) {
	answer, refused := h.resolve(r)
	if refused == nil {
		h.write(w, http.StatusOK, answer)
		return
	}
	if refused.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if refused.status == http.StatusServiceUnavailable {
		refused.RetryAfterMS = retryAfter.Milliseconds()
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	h.write(w, refused.status, refused)
}

func (h *handler) resolve(r *http.Request) (Answer, *problem) {
	raw, source := h.Raw(r)
	if source == token.None {
		return Answer{}, &problem{status: http.StatusUnauthorized, Message: "no token: send it as Authorization: Bearer or ?" + protocol.ParamToken + "="}
	}
	identity, err := h.Verifier.Verify(r.Context(), raw)
	switch {
	case errors.Is(err, token.ErrUnavailable):
		return Answer{}, &problem{status: http.StatusServiceUnavailable, Message: err.Error()}
	case err != nil:
		return Answer{}, &problem{status: http.StatusUnauthorized, Message: err.Error()}
	}
	id, refused := h.choose(r.URL.Query().Get(keys.QueryFleet))
	if refused != nil {
		return Answer{}, refused
	}
	table, _, _ := h.Tables.Latest(id)
	answer, ok := Lookup(table, identity.Client)
	if !ok {
		return Answer{}, &problem{status: http.StatusServiceUnavailable, Message: fmt.Sprintf("no node of fleet %s serves this client yet", id)}
	}
	return answer, nil
}

// choose reads the fleet, or takes the only one there is. A fleet that is not known is not looked up: that would let
// anybody open a subscription for each name they invent.
func (h *handler) choose(text string) (fleet.ID, *problem) {
	known := h.Tables.Fleets()
	if text == "" {
		switch len(known) {
		case 0:
			return fleet.ID{}, &problem{status: http.StatusServiceUnavailable, Message: "no fleet is known yet"}
		case 1:
			return known[0], nil
		}
		return fleet.ID{}, &problem{status: http.StatusBadRequest, Message: fmt.Sprintf("%d fleets are served: add ?%s=namespace/name", len(known), keys.QueryFleet)}
	}
	id, err := fleet.Parse(text)
	if err != nil {
		return fleet.ID{}, &problem{status: http.StatusBadRequest, Message: err.Error()}
	}
	if !slices.Contains(known, id) {
		return fleet.ID{}, &problem{status: http.StatusNotFound, Message: fmt.Sprintf("fleet %q is not known here", id)}
	}
	return id, nil
}

func (h *handler) write(w http.ResponseWriter, status int, body any) {
	h.Count(status)
	text, err := json.Marshal(body)
	if err != nil {
		h.Logger.Error("resolve cannot answer", slog.Any(logkey.Err, err))
		status, text = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// An error here is a client that left; there is nobody to tell.
	_, _ = w.Write(text)
}
