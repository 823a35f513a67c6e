package socket

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/token"
	"github.com/tidegate/tidegate/socket/engine"
)

// comeBack is the shortest time after which a client should try again what could not be done.
const comeBack = time.Second

// ticket is what a handshake proved and asked for.
type ticket struct {
	identity token.Identity
	resume   token.Resume
	// resumes says that the resume token is good.
	resumes bool
	// offset is the last one the client has handled; zero is none.
	offset protocol.Offset
	// table is the version of the table that the client was resolved with.
	table uint64
}

// Admit decides on a handshake.
func (n *node) Admit(r *http.Request) (any, *engine.Refusal) {
	if refusal := n.closedTo(r); refusal != nil {
		return nil, refusal
	}
	raw, _ := n.o.Token.Raw(r)
	identity, err := n.verifier.Verify(r.Context(), raw)
	if errors.Is(err, token.ErrUnavailable) {
		return nil, n.later(err.Error())
	}
	if err != nil {
		return nil, &engine.Refusal{Status: http.StatusUnauthorized, Message: err.Error()}
	}
	t := &ticket{identity: identity}
	if err := n.read(t, r); err != nil {
		return nil, &engine.Refusal{Status: http.StatusBadRequest, Message: err.Error()}
	}
	if refusal := n.enter(t.resumes); refusal != nil {
		return nil, refusal
	}
	return t, nil
}

// Refused counts the handshakes that the engine turned away for want of room.
func (n *node) Refused(status int) {
	if status == http.StatusServiceUnavailable {
		n.meter.CountRefused()
	}
}

// closedTo refuses newcomers that the node could not keep, before their token costs anything. Only want of room counts as
// waiting demand.
func (n *node) closedTo(r *http.Request) *engine.Refusal {
	if _, _, known := n.table.Latest(); !known {
		return n.later("the fleet has no shard table yet: try again")
	}
	if n.draining() {
		return n.later("this node is going away: resolve again")
	}
	if n.memory() > n.o.MemoryCeiling {
		n.meter.CountRefused()
		return n.later("this node has no memory left: try again")
	}
	if !n.Returns(r) {
		return n.crowded()
	}
	return nil
}

func (n *node) later(why string) *engine.Refusal {
	return &engine.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: soon(), Message: why}
}

// read takes the request's parameters. A resume token that is not good is no error: the client starts anew.
func (n *node) read(t *ticket, r *http.Request) error {
	query := r.URL.Query()
	if raw := query.Get(protocol.ParamOffset); raw != "" {
		offset, err := protocol.ParseOffset(raw)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", protocol.ParamOffset, err)
		}
		t.offset = offset
	}
	if raw := query.Get(protocol.ParamTable); raw != "" {
		version, err := strconv.ParseUint(raw, 10, 64)
		if err != nil {
			return fmt.Errorf("parameter %s %.32q is no table version: send the number that resolve answered", protocol.ParamTable, raw)
		}
		t.table = version
	}
	if raw := query.Get(protocol.ParamResume); raw != "" {
		resume, err := n.ring.VerifyFor(raw, n.o.Fleet, t.identity.Client, n.now())
		if err != nil {
			n.logger.Debug("resume token not taken", slog.String(logkey.Client, t.identity.Client), slog.Any(logkey.Err, err))
			return nil
		}
		t.resume, t.resumes = resume, true
	}
	return nil
}

// soon is when a client should try again: spread, so that those who were turned away together do not come back together.
func soon() time.Duration { return comeBack + rand.N(comeBack) }
