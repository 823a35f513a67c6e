package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// errLeft says that the browser is not there any more, or does not read.
var errLeft = errors.New("the browser left")

// stream is one browser that listens. Its goroutine is the request's.
type stream struct {
	feed    *Feed
	w       http.ResponseWriter
	control *http.ResponseController
	// fleet is zero until the first fleet appears, when none was asked for.
	fleet fleet.ID
	// told and shown are what the browser already has.
	told  []fleet.ID
	shown *frame
}

// events streams snapshots as server-sent events until the browser leaves or the feed closes:
// "fleets" (the list of ids, when it changes) and "snapshot" (the newest; those a slow reader missed are skipped).
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	id, ok := s.choose(w, r)
	if !ok {
		return
	}
	sub, err := s.feed.subscribe()
	if err != nil {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, err.Error()+": close a tab, or read /api/v1/status")
		return
	}
	defer s.feed.unsubscribe(sub)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	st := &stream{feed: s.feed, w: w, control: http.NewResponseController(w), fleet: id}
	// A browser that left is no event; what is worth a line is only a snapshot that cannot be encoded.
	if err := st.run(r.Context().Done(), sub.wake); err != nil && !errors.Is(err, errLeft) {
		s.logger.LogAttrs(r.Context(), slog.LevelError, "status page cannot stream",
			slog.String(logkey.Path, r.URL.Path), slog.String(logkey.Err, err.Error()))
	}
}

func (st *stream) run(left <-chan struct{}, wake <-chan struct{}) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if err := st.send("retry: 2000\n\n"); err != nil {
		return err
	}
	for {
		if err := st.catchUp(); err != nil {
			return err
		}
		select {
		case <-left:
			return nil
		case <-st.feed.closed:
			return nil
		case <-wake:
		case <-beat.C:
			if err := st.send(": heartbeat\n\n"); err != nil {
				return err
			}
		}
	}
}

// catchUp sends what the browser does not have yet.
func (st *stream) catchUp() error {
	ids := st.feed.known()
	if st.told == nil || !slices.Equal(ids, st.told) {
		body, err := json.Marshal(ids)
		if err != nil {
			return fmt.Errorf("encode fleets: %w", err)
		}
		if err := st.send("event: fleets\ndata: " + string(body) + "\n\n"); err != nil {
			return err
		}
		st.told = ids
	}
	if st.fleet == (fleet.ID{}) && len(ids) > 0 {
		st.fleet = ids[0]
	}
	newest := st.feed.latest(st.fleet)
	if newest == nil || newest == st.shown {
		return nil
	}
	body, err := newest.encode()
	if err != nil {
		return err
	}
	st.shown = newest
	return st.send("event: snapshot\ndata: " + string(body) + "\n\n")
}

// send writes one frame and sees it off. A browser that does not take it in time loses its stream and comes back.
func (st *stream) send(text string) error {
	err := st.control.SetWriteDeadline(time.Now().Add(frameTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: bound a frame: %w", errLeft, err)
	}
	if _, err := io.WriteString(st.w, text); err != nil {
		return fmt.Errorf("%w: write a frame: %w", errLeft, err)
	}
	if err := st.control.Flush(); err != nil {
		return fmt.Errorf("%w: flush a frame: %w", errLeft, err)
	}
	return nil
}
