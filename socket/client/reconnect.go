package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// ended follows the end of a link.
func (l *loop) ended(from *link, err error) error {
	var s *stay
	closed := errors.As(err, &s)
	if from != l.current {
		return nil
	}
	l.current, l.lostAt = nil, time.Now()
	l.c.losses.Add(1)
	l.change(Lost)
	switch {
	case closed && uint16(s.code) == protocol.CloseReplaced:
		if !l.dialing && l.redial.IsZero() {
			return ErrReplaced
		}
		l.replaced = true
	case closed && uint16(s.code) == protocol.ClosePolicy:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case !l.redial.IsZero():
		// The node had said when to return: not before.
	case closed && uint16(s.code) == protocol.CloseMoved:
		l.plan(jittered(l.c.o.Backoff))
	default:
		l.plan(l.wait(err))
	}
	return nil
}

// plan dials after a wait, unless an earlier dial is planned or under way.
func (l *loop) plan(wait time.Duration) {
	at := time.Now().Add(wait)
	if !l.dialing && (l.redial.IsZero() || at.Before(l.redial)) {
		l.redial = at
	}
}

// wait is what the fleet asks for, else the backoff; both with jitter.
func (l *loop) wait(err error) time.Duration {
	backoff := min(l.c.o.Backoff<<min(l.failures, 10), l.c.o.MaxBackoff)
	l.failures++
	var asked time.Duration
	var s *stay
	var notReady *NotReadyError
	switch {
	case errors.As(err, &s):
		asked = s.retryAfter
	case errors.As(err, &notReady):
		asked = notReady.RetryAfter
	}
	return min(asked, l.c.o.MaxBackoff) + jittered(backoff)
}

func (l *loop) change(change Change) {
	if l.c.o.OnChange != nil {
		l.c.o.OnChange(change)
	}
}
