package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
)

const (
	// mostNodes bounds the demo's fleet: two cores carry no more.
	mostNodes = 8
	// shards of the demo's fleet: eight a node at its largest.
	shards = 64
	// heartbeat is half of the default, so that two minutes show what otherwise takes ten.
	heartbeat = 500 * time.Millisecond
	// sync is the stand-in's period; a decision does not wait for it, since it is pushed.
	sync = 2 * time.Second
	// grace is the pods' termination grace period; drains end inside it.
	grace = 15 * time.Second
	// drainTimeout is how long a node may drain.
	drainTimeout = 10 * time.Second
	// nodeCPU and nodeMemory are what a node counts its real use against.
	nodeCPU    = "0.09"
	nodeMemory = "256Mi"
)

// rules are the default policy with its times shortened: the same rules, faster.
func rules(clients int) policy.Policy {
	p := policy.Default()
	p.MinReplicas, p.MaxReplicas = 2, mostNodes
	// Five nodes carry the most clients without the margin: the sixth is the margin's.
	p.ConnectionsPerPod = float64(clients) / 5
	p.DisruptionBudget = 2
	// What a node uses without clients: a new node takes none of it over.
	p.CPUBase, p.MemoryBase = 0.1, 0.15
	p.ScaleInDelay, p.ScaleInStep = 6*time.Second, 2*time.Second
	p.LevelWindow, p.SlopeShort, p.SlopeLong = 5*time.Second, 6*time.Second, 20*time.Second
	p.HPAPeriod, p.StartTime, p.StartTimeout = sync, 3*time.Second, time.Minute
	// The demo's day ends at once, by design: no outage.
	p.Storm.Guard = false
	p.HeartbeatInterval, p.SilentDeath, p.DecisionTTL = heartbeat, 5*time.Second, 30*time.Second
	return p
}

// writeRules writes the policy file that the demo's balancer reads.
func writeRules(dir string, p policy.Policy) (string, error) {
	if err := p.Validate(); err != nil {
		return "", fmt.Errorf("the demo's policy: %w", err)
	}
	body, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the demo's policy: %w", err)
	}
	path := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		return "", fmt.Errorf("write the demo's policy: %w", err)
	}
	return path, nil
}

// metadata is what the demo's ScaledObject would say in its trigger.
func metadata() map[string]string {
	return map[string]string{"minReplicas": "2", "maxReplicas": strconv.Itoa(mostNodes)}
}
