package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/tidegate/tidegate/internal/protocol"
)

// writeTimeout bounds one frame's write; a node that does not read for so long is gone.
const writeTimeout = 10 * time.Second

// link is one WebSocket connection to a node, from its welcome on.
type link struct {
	conn    *websocket.Conn
	welcome protocol.Welcome
	// asked is the offset the client resumes from; zero is none.
	asked protocol.Offset
	// anew says that the node did not take the offset: it may send again what the client has seen.
	anew bool
	// deaf says that a newer link's offsets do not go with this one's: its messages are not heard.
	deaf bool
}

// event is what a link, or the attempt at one, tells the client's loop.
type event struct {
	link  *link
	frame protocol.ServerFrame
	// opened is a new link; movedTo an answer that it is elsewhere; err the end of a link or of an attempt.
	opened  *link
	movedTo string
	err     error
}

// stay is an error that says how long to stay away.
type stay struct {
	code       websocket.StatusCode
	retryAfter time.Duration
	text       string
}

func (s *stay) Error() string { return fmt.Sprintf("closed with %d: %s", s.code, s.text) }

// address adds to a node's URL what the node needs to resume the session.
func address(target string, place Place, resume string, last protocol.Offset) (string, error) {
	parsed, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("node url: %w", err)
	}
	query := parsed.Query()
	if resume != "" {
		query.Set(protocol.ParamResume, resume)
	}
	if !last.IsZero() {
		query.Set(protocol.ParamOffset, last.String())
	}
	if place.TableVersion > 0 {
		query.Set(protocol.ParamTable, strconv.FormatUint(place.TableVersion, 10))
	}
	parsed.RawQuery = query.Encode()
	return parsed.String(), nil
}

// open makes the handshake and reads the node's first frame.
func (c *Client) open(ctx context.Context, target, token string) (*link, string, error) {
	options := &websocket.DialOptions{HTTPClient: c.o.HTTP, Subprotocols: []string{protocol.Subprotocol}, HTTPHeader: http.Header{}}
	if token != "" {
		options.HTTPHeader.Set("Authorization", "Bearer "+token)
	}
	conn, response, err := websocket.Dial(ctx, target, options) //nolint:bodyclose // the library closes it, as Dial says
	if err != nil {
		return nil, "", refusal(response, err)
	}
	conn.SetReadLimit(protocol.MaxServerFrameBytes)
	for {
		frame, err := read(ctx, conn)
		if err != nil {
			_ = conn.CloseNow()
			return nil, "", err
		}
		switch f := frame.(type) {
		case protocol.Welcome:
			return &link{conn: conn, welcome: f}, "", nil
		case protocol.Moved:
			_ = conn.CloseNow()
			return nil, f.URL, nil
		case protocol.Error:
			_ = conn.CloseNow()
			return nil, "", &stay{code: websocket.StatusTryAgainLater, retryAfter: f.RetryAfter, text: f.Message}
		}
	}
}

// refusal turns a failed handshake into the wait it asks for.
func refusal(response *http.Response, err error) error {
	if response == nil {
		return fmt.Errorf("connect: %w", err)
	}
	switch response.StatusCode {
	case http.StatusUnauthorized:
		return &stay{code: websocket.StatusCode(protocol.CloseExpired), text: "token refused"}
	case http.StatusForbidden:
		return fmt.Errorf("connect answered %d: %w", response.StatusCode, ErrRefused)
	}
	seconds, convErr := strconv.Atoi(response.Header.Get("Retry-After"))
	if convErr != nil || seconds < 0 {
		seconds = 0
	}
	return &stay{
		code: websocket.StatusTryAgainLater, retryAfter: time.Duration(seconds) * time.Second,
		text: "handshake answered " + response.Status,
	}
}

// read returns the next frame; a close comes back as *stay.
func read(ctx context.Context, conn *websocket.Conn) (protocol.ServerFrame, error) {
	_, data, err := conn.Read(ctx)
	if err != nil {
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			return nil, &stay{code: closed.Code, text: closed.Reason}
		}
		return nil, fmt.Errorf("read: %w", err)
	}
	frame, err := protocol.DecodeServer(data)
	if err != nil {
		return nil, fmt.Errorf("node sent a frame that cannot be read: %w", err)
	}
	return frame, nil
}

// pump brings a link's frames to the client's loop until the link ends.
func (c *Client) pump(ctx context.Context, l *link) {
	for {
		frame, err := read(ctx, l.conn)
		if err != nil {
			_ = l.conn.CloseNow()
			c.tell(ctx, event{link: l, err: err})
			return
		}
		if !c.tell(ctx, event{link: l, frame: frame}) {
			_ = l.conn.CloseNow()
			return
		}
	}
}

func (c *Client) tell(ctx context.Context, e event) bool {
	select {
	case c.events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// write sends a frame; an error is not reported here, since the reader of the link sees its end.
func (l *link) write(ctx context.Context, frame protocol.ClientFrame) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := l.conn.Write(ctx, websocket.MessageText, frame.Append(nil)); err != nil {
		_ = l.conn.CloseNow()
	}
}
