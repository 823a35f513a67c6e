package engine_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/socket/engine"
)

func TestTheFlagsDefaultsAreTheDefaults(t *testing.T) {
	var o engine.Options
	parser, err := kong.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(engine.Default(), o); diff != "" {
		t.Errorf("the demo would run on other limits than the operator's node (-Default +flags)\n%s", diff)
	}
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
}

func TestAWrongLimitIsNamedWithItsValue(t *testing.T) {
	tests := []struct {
		name, says string
		change     func(o *engine.Options)
	}{
		{"no connections", "--ws-max-connections is 0", func(o *engine.Options) { o.MaxConnections = 0 }},
		{"negative handshakes", "--ws-max-handshakes is -1", func(o *engine.Options) { o.MaxHandshakes = -1 }},
		{"no burst", "--ws-handshake-burst is 0", func(o *engine.Options) { o.HandshakeBurst = 0 }},
		{"a rate of zero", "--ws-handshake-rate is 0", func(o *engine.Options) { o.HandshakeRate = 0 }},
		{"a rate of NaN", "--ws-handshake-rate is NaN", func(o *engine.Options) { o.HandshakeRate = math.NaN() }},
		{"an infinite rate", "--ws-handshake-rate is +Inf", func(o *engine.Options) { o.HandshakeRate = math.Inf(1) }},
		{"tiny headers", "--ws-max-header-bytes is 10", func(o *engine.Options) { o.MaxHeaderBytes = 10 }},
		{"messages over the protocol's limit", "--ws-max-message-bytes is 65537", func(o *engine.Options) { o.MaxMessageBytes = 65537 }},
		{"a queue that holds no frame", "--ws-queue-bytes is 100", func(o *engine.Options) { o.QueueBytes = 100 }},
		{"a queue of no frames", "--ws-queue-frames is 0", func(o *engine.Options) { o.QueueFrames = 0 }},
		{"no handshake time", "--ws-handshake-timeout is 0s", func(o *engine.Options) { o.HandshakeTimeout = 0 }},
		{"a ping interval of a day", "--ws-ping-interval is 24h0m0s", func(o *engine.Options) { o.PingInterval = 24 * time.Hour }},
		{"no pong time", "--ws-pong-timeout is 0s", func(o *engine.Options) { o.PongTimeout = 0 }},
		{"no message time", "--ws-message-timeout is 0s", func(o *engine.Options) { o.MessageTimeout = 0 }},
		{"negative write time", "--ws-write-timeout is -1s", func(o *engine.Options) { o.WriteTimeout = -time.Second }},
		{"no close time", "--ws-close-timeout is 0s", func(o *engine.Options) { o.CloseTimeout = 0 }},
		{"no wait to tell", "--ws-retry-after is 0s", func(o *engine.Options) { o.RetryAfter = 0 }},
		{"an origin without scheme", `--ws-origin "app.example"`, func(o *engine.Options) { o.Origins = []string{"app.example"} }},
		{"an origin with a path", `--ws-origin "https://app.example/"`, func(o *engine.Options) { o.Origins = []string{"*", "https://app.example/"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := engine.Default()
			tt.change(&o)
			if err := o.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want words with %q", err, tt.says)
			}
		})
	}
}
