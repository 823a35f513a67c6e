package balancer

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/balancer/roll"
	"github.com/tidegate/tidegate/internal/keys"
)

// probesAtOnce bounds the probes of one fleet that run together: a rack may die at once.
const probesAtOnce = 64

// prober asks nodes whether they live. It keeps no connections: a dead node's would only be in the way.
type prober struct{ client *http.Client }

func newProber() *prober {
	return &prober{client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (p *prober) probe(ctx context.Context, adminURL string) error {
	url := strings.TrimSuffix(adminURL, "/") + keys.PathHealth
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe %q: %w", adminURL, err)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("probe %s: status %d, want %d", url, response.StatusCode, http.StatusOK)
	}
	return nil
}

// rounds bounds all probes of a fleet: together they take as many timeouts at most.
const rounds = 3

// judge probes every suspect of the book, each within the timeout, and tells the book. Who was not asked, or not for as long
// as the timeout because time ran out for all, is not judged: the next tick asks again.
func judge(ctx context.Context, book *roll.Book, p policy.Policy, timeout time.Duration, probe func(context.Context, string) error) {
	suspects := book.Suspects(p)
	if len(suspects) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rounds*timeout)
	defer cancel()
	verdicts := make([]verdict, len(suspects))
	var group errgroup.Group
	group.SetLimit(probesAtOnce)
	for i, suspect := range suspects {
		group.Go(func() error {
			verdicts[i] = ask(ctx, suspect.AdminURL, timeout, probe)
			return nil
		})
	}
	_ = group.Wait() // no probe returns an error: a failed one is an answer
	for i, suspect := range suspects {
		if verdicts[i] != unasked {
			book.Judge(p, suspect.Node, verdicts[i] == alive)
		}
	}
}

// verdict is what a probe found out.
type verdict int

const (
	// unasked says that the probe did not run or was cut short: that says nothing of the node.
	unasked verdict = iota
	alive
	dead
)

// ask probes one node. A probe that fails when ctx has ended may have failed for that: because time ran out for all, or
// because this process stops.
func ask(ctx context.Context, adminURL string, timeout time.Duration, probe func(context.Context, string) error) verdict {
	if ctx.Err() != nil {
		return unasked
	}
	probeCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := probe(probeCtx, adminURL)
	switch {
	case err == nil:
		return alive
	case ctx.Err() != nil:
		return unasked
	default:
		return dead
	}
}
