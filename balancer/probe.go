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

// judge probes every suspect of the book, all at once and within one timeout, and tells the book.
func judge(ctx context.Context, book *roll.Book, p policy.Policy, timeout time.Duration, probe func(context.Context, string) error) {
	suspects := book.Suspects(p)
	if len(suspects) == 0 {
		return
	}
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answered := make([]bool, len(suspects))
	var group errgroup.Group
	group.SetLimit(probesAtOnce)
	for i, suspect := range suspects {
		group.Go(func() error {
			answered[i] = probe(ctx, suspect.AdminURL) == nil
			return nil
		})
	}
	_ = group.Wait() // no probe returns an error: a failed one is an answer
	if parent.Err() != nil {
		return // this process stops: that the probes failed says nothing of the nodes
	}
	for i, suspect := range suspects {
		book.Judge(p, suspect.Node, answered[i])
	}
}
