//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/IBM/sarama"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/keys"
)

// dump tells in words how a namespace stands: pods, what hinders them, events and the ends of the logs.
func (c *cluster) dump(ctx context.Context, space string) string {
	var out strings.Builder
	for _, args := range [][]string{
		{"get", "pods,hpa,scaledobjects", "-n", space, "-o", "wide"},
		{"get", "pods,apiservices", "-n", "keda", "-o", "wide"},
		{"get", "events", "-n", space, "--sort-by=.lastTimestamp"},
		{"logs", "-n", space, "deployment/" + balancerName, "--all-pods", "--tail=40", "--prefix"},
		{"logs", "-n", space, "deployment/" + scalerName, "--all-pods", "--tail=20", "--prefix"},
		{"logs", "-n", space, "deployment/" + webhookName, "--all-pods", "--tail=40", "--prefix"},
		{"logs", "-n", space, "deployment/" + socketName, "--all-pods", "--tail=10", "--prefix"},
		{"logs", "-n", "keda", "deployment/keda-operator", "--tail=40"},
	} {
		text, err := c.kubectl(ctx, args...)
		fmt.Fprintf(&out, "--- kubectl %s\n%s", strings.Join(args, " "), text)
		if err != nil {
			fmt.Fprintln(&out, err)
		}
	}
	return out.String()
}

// tell writes how a band stands after a failure: the short of it to the test's log, the rest to a file.
func (b *band) tell(ctx context.Context, t *testing.T) {
	t.Helper()
	if d, err := b.decision(ctx); err == nil {
		t.Logf("newest decision: desired %d (%s) %s, limited by %q, inputs %+v", d.Desired, d.Reason, d.Note, d.LimitedBy, d.Inputs)
	}
	if s, err := b.status(ctx); err == nil {
		for _, row := range s.Nodes {
			t.Logf("node %s %s: %d clients, %d shards, %d warming, stale %v", row.ID, row.State, row.Connections, row.Shards, row.Warming, row.Stale)
		}
	}
	text := b.c.dump(ctx, b.id.Namespace)
	own, err := b.c.kubectl(ctx, "logs", "-n", b.id.Namespace, "deployment/"+b.id.Name, "--all-pods", "--tail=200", "--prefix")
	text += fmt.Sprintf("--- logs of %s (%v)\n%s", b.id, err, own)
	path := town.settings.below(town.settings.artifacts, strings.ReplaceAll(t.Name(), "/", "_")+".txt")
	if err := os.MkdirAll(town.settings.below(town.settings.artifacts), 0o755); err != nil {
		t.Log(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Log(err)
	}
	t.Logf("how things stood: %s", path)
}

// forgetTopic deletes a fleet's log: Kafka holds a file for each shard of each fleet that any story made.
func (c *cluster) forgetTopic(id fleet.ID) {
	options := kafka.Options{Brokers: []string{c.about.Kafka}, ClientID: "tidegate-e2e", Timeout: dialTimeout}
	config, err := options.Lookup()
	if err != nil {
		return
	}
	admin, err := sarama.NewClusterAdmin(options.Brokers, config)
	if err != nil {
		return // Kafka is away: its next start from an empty folder forgets them all
	}
	defer admin.Close()
	_ = admin.DeleteTopic(keys.InboxTopic(id)) // a puppet fleet has none
}
