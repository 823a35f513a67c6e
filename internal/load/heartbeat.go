// Package load is the load model: what a node says of itself, and what the balancer believes of a fleet.
package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

const (
	// Version is the heartbeat format that this build writes.
	Version = 1
	// MaxBytes is the longest heartbeat that is read; a longer one is hostile or broken.
	MaxBytes = 1 << 20
	// maxFraction bounds CPU and memory: a plain process may exceed its stated limit, but not a hundredfold.
	maxFraction = 100
	// maxStamp is the end of the year 9999 in milliseconds; no clock of a living server is beyond it.
	maxStamp = 253_402_300_799_999
)

// Shard is the load of one shard that a node serves or warms up.
type Shard struct {
	ID shard.ID `json:"id"`
	// Connections of clients of this shard on this node.
	Connections int `json:"connections"`
	// MessagesPerSecond delivered to clients of this shard.
	MessagesPerSecond float64 `json:"messagesPerSecond"`
	// Ready says that the node has read the shard's log up to its own marker and can own it.
	Ready bool `json:"ready"`
}

// Heartbeat is a node's load at one time.
type Heartbeat struct {
	Version int          `json:"version"`
	Fleet   fleet.ID     `json:"fleet"`
	Node    fleet.NodeID `json:"node"`
	// Incarnation tells two lives of one node name apart; a newer one is larger.
	Incarnation int64 `json:"incarnation"`
	// Sequence grows by one with each heartbeat of one incarnation.
	Sequence uint64      `json:"sequence"`
	State    fleet.State `json:"state"`
	// URL is where clients reach the node; AdminURL is the base of its admin port.
	URL      string `json:"url"`
	AdminURL string `json:"adminUrl"`
	// CPU and Memory are fractions of the node's limits: 1 is all of it.
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	// Connections are open sessions.
	Connections int `json:"connections"`
	// MaxConnections is the node's own limit; 0 when it has none.
	MaxConnections int `json:"maxConnections,omitempty"`
	// MessagesPerSecond counts messages delivered to clients and accepted from them.
	MessagesPerSecond   float64 `json:"messagesPerSecond"`
	HandshakesPerSecond float64 `json:"handshakesPerSecond"`
	// RefusedPerSecond counts handshakes turned away for want of room.
	RefusedPerSecond float64 `json:"refusedPerSecond"`
	// P95Latency is fetch to write, on the node's own clock.
	P95Latency time.Duration `json:"p95LatencyNanos"`
	// InboxLag is the backlog of the node's shards over the rate at which it consumes.
	InboxLag time.Duration `json:"inboxLagNanos"`
	// Uptime is how long the process has served.
	Uptime time.Duration `json:"uptimeNanos"`
	// TableVersion and Fence are those of the newest table the node acts on.
	TableVersion uint64 `json:"tableVersion"`
	Fence        uint64 `json:"fence"`
	// Shards holds an entry for each shard the node reads.
	Shards []Shard `json:"shards,omitempty"`

	// At is the Redis server time at which the heartbeat arrived; the node does not write it.
	At time.Time `json:"-"`
}

// Encode writes the heartbeat without its arrival time, which Redis stamps.
func (h *Heartbeat) Encode() ([]byte, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode heartbeat: %w", err)
	}
	return body, nil
}

// Decode reads "<server milliseconds> <json>" as the stamping script stores it, and refuses a heartbeat
// whose numbers would poison an average. The caller compares fleet and node with where it was found.
func Decode(stamped []byte) (Heartbeat, error) {
	if len(stamped) > MaxBytes {
		return Heartbeat{}, fmt.Errorf("heartbeat has %d bytes: at most %d are read", len(stamped), MaxBytes)
	}
	millis, body, found := strings.Cut(string(stamped), " ")
	if !found {
		return Heartbeat{}, errors.New("heartbeat carries no server time: want \"<milliseconds> <json>\"")
	}
	at, err := strconv.ParseInt(millis, 10, 64)
	if err != nil || at <= 0 || at > maxStamp {
		return Heartbeat{}, fmt.Errorf("heartbeat server time %.32q: want milliseconds from 1 to %d", millis, int64(maxStamp))
	}
	var beat Heartbeat
	if err := json.Unmarshal([]byte(body), &beat); err != nil {
		return Heartbeat{}, fmt.Errorf("decode heartbeat: %w", err)
	}
	if err := beat.Validate(); err != nil {
		return Heartbeat{}, err
	}
	beat.At = time.UnixMilli(at)
	return beat, nil
}

// Validate names the first field that no healthy node would send.
func (h *Heartbeat) Validate() error {
	if h.Version != Version {
		return fmt.Errorf("heartbeat version %d is unknown: this build reads %d", h.Version, Version)
	}
	if err := h.Fleet.Validate(); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if err := h.Node.Validate(); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if h.State < fleet.Starting || h.State > fleet.Gone {
		return fmt.Errorf("heartbeat of %s: state %s is unknown", h.Node, h.State)
	}
	// A leader without a table makes one above the highest version it hears of, so there must be one above.
	if h.TableVersion >= math.MaxInt64-1 || h.Fence >= math.MaxInt64-1 {
		return fmt.Errorf("heartbeat of %s: tableVersion %d, fence %d: want numbers below %d",
			h.Node, h.TableVersion, h.Fence, int64(math.MaxInt64-1))
	}
	return errors.Join(h.validateNumbers(), h.validateShards())
}

func (h *Heartbeat) validateNumbers() error {
	numbers := []struct {
		field string
		value float64
		most  float64
	}{
		{"cpu", h.CPU, maxFraction},
		{"memory", h.Memory, maxFraction},
		{"connections", float64(h.Connections), math.MaxInt32},
		{"maxConnections", float64(h.MaxConnections), math.MaxInt32},
		{"messagesPerSecond", h.MessagesPerSecond, math.MaxInt32},
		{"handshakesPerSecond", h.HandshakesPerSecond, math.MaxInt32},
		{"refusedPerSecond", h.RefusedPerSecond, math.MaxInt32},
		{"p95LatencyNanos", float64(h.P95Latency), float64(24 * time.Hour)},
		{"inboxLagNanos", float64(h.InboxLag), float64(24 * time.Hour)},
		{"uptimeNanos", float64(h.Uptime), math.MaxInt64},
	}
	for _, n := range numbers {
		// The comparison is written so that NaN fails it.
		if !(n.value >= 0 && n.value <= n.most) {
			return fmt.Errorf("heartbeat of %s: %s is %v: want 0 to %v", h.Node, n.field, n.value, n.most)
		}
	}
	return nil
}

func (h *Heartbeat) validateShards() error {
	seen := make(map[shard.ID]struct{}, len(h.Shards))
	for _, s := range h.Shards {
		if s.ID < 0 || s.ID >= shard.MaxShards {
			return fmt.Errorf("heartbeat of %s: shard %d is outside 0 to %d", h.Node, s.ID, shard.MaxShards-1)
		}
		if _, twice := seen[s.ID]; twice {
			return fmt.Errorf("heartbeat of %s: shard %d appears twice: want one entry a shard", h.Node, s.ID)
		}
		seen[s.ID] = struct{}{}
		if s.Connections < 0 || s.Connections > math.MaxInt32 || !(s.MessagesPerSecond >= 0 && s.MessagesPerSecond <= math.MaxInt32) {
			return fmt.Errorf("heartbeat of %s: shard %d has load %d connections, %v messages/s: want 0 to %d",
				h.Node, s.ID, s.Connections, s.MessagesPerSecond, math.MaxInt32)
		}
	}
	return nil
}
