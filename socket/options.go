// Package socket is the node that holds WebSocket connections: it takes clients whose shards it owns, writes what they
// send to the recipients' shards, delivers what its shards bring, reports its load, and sends its clients away without
// a loss when it must go.
package socket

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/listen"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
	"github.com/tidegate/tidegate/socket/engine"
	"github.com/tidegate/tidegate/socket/usage"
)

// Options are the settings of a node. The kong tags are the flags and the environment of `tidegate socket`.
type Options struct {
	Fleet    fleet.ID `name:"fleet" env:"TIDEGATE_FLEET" required:"" placeholder:"NAMESPACE/NAME" help:"The fleet this node belongs to: namespace and name of its Deployment."`
	Node     string   `name:"node" env:"TIDEGATE_NODE,POD_NAME" placeholder:"NAME" help:"This node's name; default is the host's name, which in a cluster is the pod's."`
	Addr     string   `name:"addr" env:"TIDEGATE_ADDR" default:":8080" help:"Where clients connect, host:port. Port 0 takes a free one."`
	Admin    string   `name:"admin-addr" env:"TIDEGATE_ADMIN_ADDR" default:":9090" help:"Where health, metrics and drain are served, host:port. Never put it behind the gateway."`
	URL      string   `name:"url" env:"TIDEGATE_URL" placeholder:"URL" help:"The address under which clients reach this node, with its path; default is ws://<advertised host>:<port>/ws/connect."`
	AdminURL string   `name:"admin-url" env:"TIDEGATE_ADMIN_URL" placeholder:"URL" help:"The base address of the admin port for the balancer; default is http://<advertised host>:<port>."`
	Host     string   `name:"advertise-host" env:"TIDEGATE_ADVERTISE_HOST,POD_IP" placeholder:"HOST" help:"Host of the default addresses; default is the listener's, or 127.0.0.1 when that is none."`

	Redis redisconn.Options `embed:""`
	Kafka kafka.Options     `embed:""`
	Token token.Options     `embed:""`
	WS    engine.Options    `embed:""`

	ResumeKeyFile string `name:"resume-key-file" env:"TIDEGATE_RESUME_KEY_FILE" type:"path" placeholder:"PATH" help:"File of the keys of resume tokens, lines of kid:base64; the same on every node. In dev mode the default is a key that only this process knows."`

	Shards       int           `name:"shards" env:"TIDEGATE_SHARDS" default:"1024" help:"Partitions of the fleet's inbox topic, fixed when it is created; 1 to 65536."`
	ResumeWindow time.Duration `name:"resume-window" env:"TIDEGATE_RESUME_WINDOW" default:"5m" help:"How long a client may be away and lose nothing, 10s to 24h."`
	Production   bool          `name:"production" env:"TIDEGATE_PRODUCTION" help:"Ask the inbox topic for replication 3 with 2 in sync, so that no broker's death loses a message."`

	CPULimit    usage.Cores `name:"cpu-limit" env:"TIDEGATE_CPU_LIMIT" placeholder:"CORES" help:"Cores this process may use, like 0.5 or 500m; default is the container's limit, else the machine's."`
	MemoryLimit usage.Bytes `name:"memory-limit" env:"TIDEGATE_MEMORY_LIMIT" placeholder:"SIZE" help:"Memory this process may use, like 512Mi; default is the container's limit, else the machine's."`

	MemoryCeiling float64 `name:"memory-ceiling" env:"TIDEGATE_MEMORY_CEILING" default:"0.95" help:"Fraction of the memory limit above which newcomers are turned away, 0.1 to 1."`
	MessageRate   float64 `name:"message-rate" env:"TIDEGATE_MESSAGE_RATE" default:"100" help:"Messages a second that one client may send on average; a tenfold burst is allowed."`
	BadFrames     int     `name:"bad-frames" env:"TIDEGATE_BAD_FRAMES" default:"10" help:"Frames of one client that may be refused before its connection is closed, from 1."`

	HeartbeatInterval time.Duration `name:"heartbeat-interval" env:"TIDEGATE_HEARTBEAT_INTERVAL" default:"1s" help:"Time between heartbeats, 100ms to 30s; the balancer must know the same."`
	WelcomeTimeout    time.Duration `name:"welcome-timeout" env:"TIDEGATE_WELCOME_TIMEOUT" default:"10s" help:"Longest that a client waits for its shard to be ready, 100ms to 60s."`
	StartTimeout      time.Duration `name:"start-timeout" env:"TIDEGATE_START_TIMEOUT" default:"60s" help:"Longest that a node counts as starting, 1s to 10m."`

	DrainTimeout    time.Duration `name:"drain-timeout" env:"TIDEGATE_DRAIN_TIMEOUT" default:"300s" help:"How long a drain may take; keep the pod's grace period 30 s longer. 1s to 1h."`
	DrainRate       float64       `name:"drain-rate" env:"TIDEGATE_DRAIN_RATE" default:"100" help:"Clients a second that one remaining node takes in while others send theirs away."`
	DrainPatience   time.Duration `name:"drain-patience" env:"TIDEGATE_DRAIN_PATIENCE" default:"10s" help:"How long a client that was told to move keeps its old connection, 0s to 5m."`
	MoveLongest     time.Duration `name:"move-longest" env:"TIDEGATE_MOVE_LONGEST" default:"0s" help:"Longest that a client stays, while this node is below 81 % of its CPU and memory, after another node got its shard; from 87 % on all move at the drain's rate. Saves moves where CPU or memory is what a fleet runs out of; 0s moves them at once. 0s to 24h."`
	DrainNonce      string        `name:"drain-nonce" env:"TIDEGATE_DRAIN_NONCE" placeholder:"NONCE" help:"What a caller of /drain must send as X-Tidegate-Drain-Nonce; the injector sets it. Without one only dev mode drains by HTTP."`
	ShutdownTimeout time.Duration `name:"shutdown-timeout" env:"TIDEGATE_SHUTDOWN_TIMEOUT" default:"20s" help:"Longest that stopping may take after SIGTERM, 1s to 5m; keep it inside the pod's grace period."`

	Pprof bool `name:"pprof" env:"TIDEGATE_PPROF" help:"Serve profiles under /debug/pprof on the admin port."`
}

// Validate names every wrong field with its value and the fix.
func (o *Options) Validate() error {
	errs := []error{named("fleet", o.Fleet.Validate()), o.Redis.Validate(), o.Kafka.Validate(), o.Token.Validate(), o.WS.Validate()}
	if o.Node != "" {
		errs = append(errs, named("node", fleet.NodeID(o.Node).Validate()))
	}
	errs = append(errs,
		o.forClients().Check(), o.forOperators().Check(),
		reachable("url", o.URL, "ws", "wss"), reachable("admin-url", o.AdminURL, "http", "https"),
		within("shards", o.Shards, 1, shard.MaxShards),
		within("bad-frames", o.BadFrames, 1, math.MaxInt32),
		within("memory-ceiling", o.MemoryCeiling, 0.1, 1),
		within("message-rate", o.MessageRate, 0.01, 1e6),
		within("drain-rate", o.DrainRate, 0.1, 1e6),
		within("resume-window", o.ResumeWindow, 10*time.Second, 24*time.Hour),
		within("heartbeat-interval", o.HeartbeatInterval, 100*time.Millisecond, 30*time.Second),
		within("welcome-timeout", o.WelcomeTimeout, 100*time.Millisecond, time.Minute),
		within("start-timeout", o.StartTimeout, time.Second, 10*time.Minute),
		within("drain-timeout", o.DrainTimeout, time.Second, time.Hour),
		within("drain-patience", o.DrainPatience, 0, 5*time.Minute),
		within("move-longest", o.MoveLongest, 0, 24*time.Hour),
		within("shutdown-timeout", o.ShutdownTimeout, time.Second, 5*time.Minute),
	)
	if o.ResumeKeyFile == "" && !o.Token.Dev {
		errs = append(errs, errors.New("--resume-key-file is empty: give a file with a line k1:<base64 of 32 random bytes>, the same on every node"))
	}
	return errors.Join(errs...)
}

// named puts the flag before a problem.
func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%s: %w", flag, err)
}

func within[T int | float64 | time.Duration](flag string, value, least, most T) error {
	// The comparison is written so that NaN fails it.
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("--%s is %v: want %v to %v", flag, value, least, most)
}

// forClients is where clients connect.
func (o *Options) forClients() listen.Setting {
	return listen.Setting{Flag: "--addr", Env: "TIDEGATE_ADDR", Address: o.Addr}
}

// forOperators is where the admin port is.
func (o *Options) forOperators() listen.Setting {
	return listen.Setting{Flag: "--admin-addr", Env: "TIDEGATE_ADMIN_ADDR", Address: o.Admin}
}

func reachable(flag, value string, schemes ...string) error {
	if value == "" {
		return nil
	}
	parsed, err := url.Parse(value)
	if err != nil || parsed.Host == "" || parsed.Scheme != schemes[0] && parsed.Scheme != schemes[1] || parsed.RawQuery != "" {
		return fmt.Errorf("--%s %q is no address that others can use: write %s://host:port and a path at most", flag, value, schemes[0])
	}
	return nil
}

// nodeID is the configured name or the host's.
func (o *Options) nodeID() (fleet.NodeID, error) {
	name := o.Node
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("--node is empty and the host has no name: %w", err)
		}
		name = host
	}
	id := fleet.NodeID(name)
	if err := id.Validate(); err != nil {
		return "", fmt.Errorf("--node is empty and the host's name cannot stand for it: %w", err)
	}
	return id, nil
}

// advertised is the host and port under which others reach a listener.
func (o *Options) advertised(listener net.Addr) string {
	host, port, err := net.SplitHostPort(listener.String())
	if err != nil {
		return listener.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if o.Host != "" {
		host = o.Host
	}
	return net.JoinHostPort(host, port)
}
