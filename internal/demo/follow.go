package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/keys"
)

const (
	// lookEvery is how often the demo follows the day and looks at the newest decision.
	lookEvery = 200 * time.Millisecond
	// chaosAt is the share of the day at which --chaos kills a node: in the burst.
	chaosAt = 0.42
)

// follow plays the day: it sets what the swarm wants, kills a node where chaos is asked for, and shows progress.
func (t *town) follow(ctx context.Context, show *progress, result *outcome) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	start, worst := time.Now(), decision.Balanced
	result.urgent = worst.String()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		elapsed := time.Since(start)
		now := momentAt(day(), t.o.Clients, t.o.Duration, elapsed)
		t.swarm.Want(now.clients, now.rate)
		if t.o.Chaos && result.killed == "" && now.done >= chaosAt {
			if err := t.kill(result); err != nil {
				return err
			}
		}
		newest, err := t.newest(ctx)
		if err == nil && newest.Urgency > worst {
			worst = newest.Urgency
			result.urgent = fmt.Sprintf("%s (%s)", worst, newest.Reason)
		}
		show.at(now, t.swarm.Stats(), t.actuator.Summary(), newest)
		if elapsed >= t.o.Duration {
			show.end()
			return nil
		}
	}
}

// kill ends a random ready node without a word.
func (t *town) kill(result *outcome) error {
	random := rand.New(rand.NewPCG(t.o.Seed, 1))
	nodes := t.nodes.Running()
	for _, i := range random.Perm(len(nodes)) {
		if !nodes[i].Ready {
			continue
		}
		result.killed = string(nodes[i].ID)
		if err := t.nodes.Kill(nodes[i].ID); err != nil {
			return fmt.Errorf("kill %s: %w", nodes[i].ID, err)
		}
		return nil
	}
	return errors.New("--chaos found no ready node to kill")
}

// newest asks the balancer for its newest decision, as an operator would.
func (t *town) newest(ctx context.Context) (decision.Decision, error) {
	address := "http://" + t.balancer.AdminListen + keys.PathDecision + "?" + url.Values{"fleet": {theFleet().String()}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return decision.Decision{}, fmt.Errorf("ask for the decision: %w", err)
	}
	response, err := t.web.Do(request)
	if err != nil {
		return decision.Decision{}, fmt.Errorf("ask for the decision: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read, or is of no use
	if response.StatusCode != http.StatusOK {
		return decision.Decision{}, fmt.Errorf("ask for the decision: %s", response.Status)
	}
	var d decision.Decision
	if err := json.NewDecoder(response.Body).Decode(&d); err != nil {
		return decision.Decision{}, fmt.Errorf("read the decision: %w", err)
	}
	return d, nil
}
