package balancer

import (
	"context"
	"fmt"

	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// office is one term of this replica.
type office struct {
	// ctx ends with the term: no write outlives it.
	ctx    context.Context
	resign context.CancelFunc
	fence  uint64
}

// bind returns a context for a tick's writes: it ends with the tick's and with the term.
func (o *office) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(o.ctx, cancel)
	return ctx, func() { release(); cancel() }
}

// lead is called by the elector for each term. It returns when the term has ended and no tick works for it any more.
func (b *Balancer) lead(ctx context.Context, term lead.Term) {
	ctx, resign := context.WithCancel(ctx)
	defer resign()
	b.office.Store(&office{ctx: ctx, resign: resign, fence: term.Fence})
	select {
	case b.wake <- struct{}{}:
	default:
	}
	<-ctx.Done()
	b.office.Store(nil)
	b.ticking.Lock()
	defer b.ticking.Unlock()
	b.metrics.lead(false)
}

func decodeTable(id fleet.ID, body []byte) (*shard.Table, error) {
	table, err := shard.Decode(body)
	if err != nil {
		return nil, err
	}
	if table.Fleet != id {
		return nil, fmt.Errorf("table is of fleet %s, stored under %s", table.Fleet, id)
	}
	return table, nil
}
