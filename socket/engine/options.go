package engine

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// Options are the limits of the engine. Embed them in a kong command; Default has the same values.
type Options struct {
	MaxConnections int      `name:"ws-max-connections" env:"TIDEGATE_WS_MAX_CONNECTIONS" default:"10000" help:"Most WebSocket connections this node holds; beyond them a handshake gets 503 with Retry-After."`
	MaxHandshakes  int      `name:"ws-max-handshakes" env:"TIDEGATE_WS_MAX_HANDSHAKES" default:"8192" help:"Most handshakes under way at once."`
	HandshakeRate  float64  `name:"ws-handshake-rate" env:"TIDEGATE_WS_HANDSHAKE_RATE" default:"1000" help:"Handshakes a second this node takes; beyond them 503 with Retry-After, those who resume a session last."`
	HandshakeBurst int      `name:"ws-handshake-burst" env:"TIDEGATE_WS_HANDSHAKE_BURST" default:"1000" help:"Handshakes this node takes at once after a quiet time."`
	MaxHeaderBytes int      `name:"ws-max-header-bytes" env:"TIDEGATE_WS_MAX_HEADER_BYTES" default:"16384" help:"Longest HTTP head of a handshake, in bytes."`
	Origins        []string `name:"ws-origin" env:"TIDEGATE_WS_ORIGIN" placeholder:"ORIGIN" help:"Browser origins that may connect, such as https://app.example, https://*.example (any one level) or *; without any, only the origin of the address itself."`

	MaxMessageBytes int `name:"ws-max-message-bytes" env:"TIDEGATE_WS_MAX_MESSAGE_BYTES" default:"65536" help:"Longest message a client may send, in bytes, over all its fragments."`
	QueueBytes      int `name:"ws-queue-bytes" env:"TIDEGATE_WS_QUEUE_BYTES" default:"1048576" help:"Bytes that may wait for a slow client before it is closed with 1013."`
	QueueFrames     int `name:"ws-queue-frames" env:"TIDEGATE_WS_QUEUE_FRAMES" default:"4096" help:"Frames that may wait for a slow client before it is closed with 1013."`

	HandshakeTimeout time.Duration `name:"ws-handshake-timeout" env:"TIDEGATE_WS_HANDSHAKE_TIMEOUT" default:"5s" help:"Time for a whole handshake."`
	PingInterval     time.Duration `name:"ws-ping-interval" env:"TIDEGATE_WS_PING_INTERVAL" default:"30s" help:"Silence after which a client is pinged."`
	PongTimeout      time.Duration `name:"ws-pong-timeout" env:"TIDEGATE_WS_PONG_TIMEOUT" default:"15s" help:"Time for any sign of life after a ping."`
	MessageTimeout   time.Duration `name:"ws-message-timeout" env:"TIDEGATE_WS_MESSAGE_TIMEOUT" default:"30s" help:"Time for a whole message, from its first byte."`
	WriteTimeout     time.Duration `name:"ws-write-timeout" env:"TIDEGATE_WS_WRITE_TIMEOUT" default:"10s" help:"Time for a client to take what is written."`
	CloseTimeout     time.Duration `name:"ws-close-timeout" env:"TIDEGATE_WS_CLOSE_TIMEOUT" default:"2s" help:"Time for a client to answer a close."`
	RetryAfter       time.Duration `name:"ws-retry-after" env:"TIDEGATE_WS_RETRY_AFTER" default:"2s" help:"Least wait that a client over a limit is told; up to twice as long by chance, so that they do not come back together."`
}

// Default is what the flags are when nobody sets them.
func Default() Options {
	return Options{
		MaxConnections: 10_000, MaxHandshakes: 8192, HandshakeRate: 1000, HandshakeBurst: 1000, MaxHeaderBytes: 16 << 10,
		MaxMessageBytes: protocol.MaxFrameBytes, QueueBytes: 1 << 20, QueueFrames: 4096,
		HandshakeTimeout: 5 * time.Second, PingInterval: 30 * time.Second, PongTimeout: 15 * time.Second, MessageTimeout: 30 * time.Second,
		WriteTimeout: 10 * time.Second, CloseTimeout: 2 * time.Second, RetryAfter: 2 * time.Second,
	}
}

// Validate reports every setting that is out of its range, each with its value and the fix.
func (o Options) Validate() error {
	errs := []error{
		within("--ws-max-connections", o.MaxConnections, 1, 1_000_000),
		within("--ws-max-handshakes", o.MaxHandshakes, 1, 100_000),
		within("--ws-handshake-burst", o.HandshakeBurst, 1, 100_000),
		within("--ws-max-header-bytes", o.MaxHeaderBytes, 1<<10, 1<<20),
		within("--ws-max-message-bytes", o.MaxMessageBytes, 1<<10, protocol.MaxFrameBytes),
		within("--ws-queue-bytes", o.QueueBytes, 2*protocol.MaxServerFrameBytes, 64<<20),
		within("--ws-queue-frames", o.QueueFrames, 16, 1<<20),
		lasting("--ws-handshake-timeout", o.HandshakeTimeout, time.Minute),
		lasting("--ws-ping-interval", o.PingInterval, time.Hour),
		lasting("--ws-pong-timeout", o.PongTimeout, time.Hour),
		lasting("--ws-message-timeout", o.MessageTimeout, time.Hour),
		lasting("--ws-write-timeout", o.WriteTimeout, time.Minute),
		lasting("--ws-close-timeout", o.CloseTimeout, time.Minute),
		lasting("--ws-retry-after", o.RetryAfter, time.Hour),
	}
	// Written so that NaN is out of range too.
	if !(o.HandshakeRate > 0 && o.HandshakeRate <= 1e6) {
		errs = append(errs, fmt.Errorf("--ws-handshake-rate is %v: want more than 0 and at most 1000000 a second", o.HandshakeRate))
	}
	for _, origin := range o.Origins {
		errs = append(errs, validOrigin(origin))
	}
	return errors.Join(errs...)
}

func within(flag string, value, least, most int) error {
	if value < least || value > most {
		return fmt.Errorf("%s is %d: want %d to %d", flag, value, least, most)
	}
	return nil
}

func lasting(flag string, value, most time.Duration) error {
	if value < time.Millisecond || value > most {
		return fmt.Errorf("%s is %v: want 1ms to %v", flag, value, most)
	}
	return nil
}

func validOrigin(origin string) error {
	if origin == anyOrigin {
		return nil
	}
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Scheme == "" || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host {
		return fmt.Errorf("--ws-origin %q is no origin: write scheme and host as browsers do, https://app.example, or * for any", origin)
	}
	return nil
}
