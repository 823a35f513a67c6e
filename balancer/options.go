package balancer

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/listen"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
)

// Options are the settings of `tidegate balancer`. The kong tags are its flags and environment.
type Options struct {
	Listen      string `name:"balancer-listen" env:"TIDEGATE_BALANCER_LISTEN" default:":8081" placeholder:"HOST:PORT" help:"Where clients resolve their node and the status page is served."`
	AdminListen string `name:"balancer-admin-listen" env:"TIDEGATE_BALANCER_ADMIN_LISTEN" default:":9091" placeholder:"HOST:PORT" help:"Where health, metrics, decisions and victims are served. Never put it behind the gateway."`
	ID          string `name:"balancer-id" env:"TIDEGATE_BALANCER_ID,POD_NAME" placeholder:"NAME" help:"Name of this replica in elections and on the page; default is the host's name."`

	Redis redisconn.Options `embed:""`
	Kafka kafka.Options     `embed:""`
	Token token.Options     `embed:""`

	Audit      bool   `name:"audit" env:"TIDEGATE_AUDIT" default:"true" negatable:"" help:"Record every decision on Kafka."`
	Production bool   `name:"production" env:"TIDEGATE_PRODUCTION" help:"Ask the audit topic for replication 3, so that no broker's death loses a record."`
	PolicyFile string `name:"policy-file" env:"TIDEGATE_POLICY_FILE" type:"path" placeholder:"PATH" help:"JSON file with settings of the policy, for all fleets; default is the built-in policy."`
	Shards     int    `name:"shards" env:"TIDEGATE_SHARDS" default:"1024" help:"Partitions of a fleet's inbox topic, the same as its nodes are given; 1 to 65536."`

	Interval     time.Duration `name:"balancer-interval" env:"TIDEGATE_BALANCER_INTERVAL" default:"1s" help:"Time between two looks at the fleets, 50ms to 30s; at most half of the policy's heartbeatInterval times staleHeartbeats."`
	ProbeTimeout time.Duration `name:"probe-timeout" env:"TIDEGATE_PROBE_TIMEOUT" default:"500ms" help:"Longest that a silent node may take to answer /healthz before it is dead, 50ms to 10s."`

	Pprof bool `name:"pprof" env:"TIDEGATE_PPROF" help:"Serve profiles under /debug/pprof on the admin port."`

	Kubernetes      bool     `name:"kubernetes" env:"TIDEGATE_KUBERNETES" help:"Take policies from ScaledObjects, and watch Deployments, pods and HPAs."`
	FleetNamespaces []string `name:"fleet-namespaces" env:"TIDEGATE_FLEET_NAMESPACES,POD_NAMESPACE" placeholder:"NAME,..." help:"Namespaces whose fleets are watched, with --kubernetes; * is all. Default is the pod's own."`
	Kubeconfig      string   `name:"kubeconfig" env:"TIDEGATE_KUBECONFIG" type:"path" placeholder:"PATH" help:"How to reach the API server from outside a cluster; default is the pod's service account."`

	Election       string        `name:"election" env:"TIDEGATE_ELECTION" default:"redis" enum:"redis,kubernetes" help:"What elects the leader: a lease in Redis, or a Lease object of the cluster."`
	LeaseDuration  time.Duration `name:"lease-duration" env:"TIDEGATE_LEASE_DURATION" default:"6s" help:"After this long without a sign of life the leader is replaced, 1s to 5m."`
	LeaseNamespace string        `name:"lease-namespace" env:"TIDEGATE_LEASE_NAMESPACE,POD_NAMESPACE" placeholder:"NAME" help:"Namespace of the Lease, with --election=kubernetes."`
	LeaseName      string        `name:"lease-name" env:"TIDEGATE_LEASE_NAME" default:"tidegate-balancer" help:"Name of the Lease, with --election=kubernetes."`
}

// The values of Election.
const (
	electRedis      = "redis"
	electKubernetes = "kubernetes"
)

// leaseSlack is the part of a lease in which a leader that lost it must be done: a write under way takes one Redis call.
const leaseSlack = 3

// Validate names every wrong field with its value and the fix.
func (o Options) Validate() error {
	errs := []error{
		o.forClients().Check(), o.forOperators().Check(),
		o.Redis.Validate(), o.Token.Validate(),
		o.checkKubernetes(),
		within("--balancer-interval", o.Interval, 50*time.Millisecond, 30*time.Second),
		within("--probe-timeout", o.ProbeTimeout, 50*time.Millisecond, 10*time.Second),
		within("--lease-duration", o.LeaseDuration, time.Second, 5*time.Minute),
	}
	if o.Redis.Timeout > o.LeaseDuration/leaseSlack {
		errs = append(errs, fmt.Errorf("--redis-timeout is %s and --lease-duration %s: a leader must notice within a third of its lease that Redis is gone, give at most %s",
			o.Redis.Timeout, o.LeaseDuration, o.LeaseDuration/leaseSlack))
	}
	if o.Audit {
		errs = append(errs, o.Kafka.Validate())
	}
	if o.Shards < 1 || o.Shards > shard.MaxShards {
		errs = append(errs, fmt.Errorf("--shards is %d: give the partitions of the inbox topic, 1 to %d", o.Shards, shard.MaxShards))
	}
	if o.Election != electRedis && o.Election != electKubernetes {
		errs = append(errs, fmt.Errorf("--election is %q: give %s or %s", o.Election, electRedis, electKubernetes))
	}
	if o.Election == electKubernetes && (o.LeaseNamespace == "" || o.LeaseName == "") {
		errs = append(errs, fmt.Errorf("--lease-namespace is %q and --lease-name %q: both are needed with --election=%s", o.LeaseNamespace, o.LeaseName, electKubernetes))
	}
	return errors.Join(errs...)
}

// forClients is where clients resolve and the page is served.
func (o Options) forClients() listen.Setting {
	return listen.Setting{Flag: "--balancer-listen", Env: "TIDEGATE_BALANCER_LISTEN", Address: o.Listen}
}

// forOperators is where the admin port is.
func (o Options) forOperators() listen.Setting {
	return listen.Setting{Flag: "--balancer-admin-listen", Env: "TIDEGATE_BALANCER_ADMIN_LISTEN", Address: o.AdminListen}
}

func within(flag string, value, least, most time.Duration) error {
	if value < least || value > most {
		return fmt.Errorf("%s is %s: give a duration from %s to %s", flag, value, least, most)
	}
	return nil
}

// policy reads the policy of all fleets.
func (o Options) policy() (policy.Policy, error) {
	if o.PolicyFile == "" {
		return policy.Default(), nil
	}
	file, err := os.Open(o.PolicyFile)
	if err != nil {
		return policy.Policy{}, fmt.Errorf("--policy-file: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	p, err := policy.Load(file, policy.Default())
	if err != nil {
		return policy.Policy{}, fmt.Errorf("--policy-file %q: %w", o.PolicyFile, err)
	}
	return p, nil
}

// looks is how often a leader must look within the silence that counts: with fewer it could not tell a node that is silent
// from one whose heartbeats it did not read.
const looks = 2

// fits refuses an interval with which no dead node would ever be found.
func (o Options) fits(p policy.Policy) error {
	if most := p.StaleAfter() / looks; o.Interval > most {
		return fmt.Errorf("--balancer-interval is %s and the policy's heartbeatInterval %s times staleHeartbeats %d: dead nodes are only found with two looks in that time, give --balancer-interval at most %s or raise the policy's",
			o.Interval, p.HeartbeatInterval, p.StaleHeartbeats, most)
	}
	return nil
}

// id is the replica's name.
func (o Options) id() (string, error) {
	if o.ID != "" {
		return o.ID, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("--balancer-id is empty and the host has no name: %w", err)
	}
	return name, nil
}
