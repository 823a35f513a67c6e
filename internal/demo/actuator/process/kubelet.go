package process

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
)

const (
	// leastGrace is what a kubelet leaves a container after a preStop that used the grace period up.
	leastGrace = 2 * time.Second
	// probeTimeout bounds one readiness probe, as timeoutSeconds does by default.
	probeTimeout = time.Second
	// maxHookBytes bounds what is read of the answer of a preStop.
	maxHookBytes = 64 << 10
)

// Remove ends a node as a kubelet would: the preStop hook, a GET of the drain path that may take the whole grace
// period; then SIGTERM; then SIGKILL once the grace period is over, but at least two seconds after SIGTERM. When ctx
// ends, the hook is cut off and the node has those two seconds. It returns when the process is gone; an error means
// that it had to be killed. A hook that fails is logged, and the node ends all the same.
func (n *Nodes) Remove(ctx context.Context, id fleet.NodeID) error {
	c, err := n.find(id)
	if err != nil {
		return err
	}
	began := time.Now()
	n.mu.Lock()
	c.asked, c.drainBegan = true, began
	n.mu.Unlock()
	n.preStop(ctx, c)
	took := time.Since(began)
	n.mu.Lock()
	c.drain = took
	n.mu.Unlock()

	c.terminate()
	left := max(n.c.Grace-took, leastGrace)
	if !n.goneWithin(ctx, c, left) && n.force(c) {
		<-c.life.Done()
		return fmt.Errorf("node %s did not end within its grace period and was killed", id)
	}
	<-c.life.Done()
	return nil
}

// goneWithin waits for the end of a process; when ctx ends, for two seconds more at most.
func (n *Nodes) goneWithin(ctx context.Context, c *child, left time.Duration) bool {
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-c.life.Done():
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
	}
	hurry := time.NewTimer(min(left, leastGrace))
	defer hurry.Stop()
	select {
	case <-c.life.Done():
		return true
	case <-hurry.C:
		return false
	}
}

// force kills a process that still runs; not ok when it ended in the meantime.
func (n *Nodes) force(c *child) bool {
	n.mu.Lock()
	_, runs := n.children[c.id]
	c.forced = runs
	n.mu.Unlock()
	// A process that ended just now cannot be killed, and need not.
	return runs && c.kill() == nil
}

// preStop asks the node to drain and waits for its answer, the end of the node, of the grace period or of ctx.
func (n *Nodes) preStop(ctx context.Context, c *child) {
	ctx, cancel := context.WithTimeout(ctx, n.c.Grace)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)() //nolint:contextcheck // the wait ends with the node too
	if err := n.hook(ctx, c); err != nil {
		n.c.Logger.Warn("the preStop hook failed", slog.String(logkey.Node, string(c.id)), slog.Any(logkey.Err, err))
	}
}

func (n *Nodes) hook(ctx context.Context, c *child) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin+keys.PathDrain, http.NoBody)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	request.Header.Set(keys.HeaderNonce, c.nonce)
	response, err := n.client.Do(request)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHookBytes))
	if err != nil {
		return fmt.Errorf("drain: read the answer: %w", err)
	}
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("drain: the node answers %s: %.200q", response.Status, body)
	}
	return nil
}

// probe asks the node whether it is ready until it ends.
func (n *Nodes) probe(ctx context.Context, c *child) {
	ticker := time.NewTicker(n.c.Probe)
	defer ticker.Stop()
	for {
		ready := n.isReady(ctx, c)
		n.mu.Lock()
		if _, runs := n.children[c.id]; runs && c.ready != ready {
			c.ready = ready
			n.change()
		}
		n.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (n *Nodes) isReady(ctx context.Context, c *child) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin+keys.PathReady, http.NoBody)
	if err != nil {
		return false
	}
	response, err := n.client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode >= 200 && response.StatusCode < 400
}
