package balancer

import (
	"context"
	"fmt"
	"sync"

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
	// work counts the ticks that work for this term.
	work sync.WaitGroup
}

// employ counts one tick in and returns how to count it out. Without a term there is nothing to count.
func (o *office) employ() (done func()) {
	if o == nil {
		return func() {}
	}
	o.work.Add(1)
	return o.work.Done
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
	in := &office{ctx: ctx, resign: resign, fence: term.Fence}
	b.office.Store(in)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	<-ctx.Done()
	b.office.Store(nil)
	b.ticking.Lock() // from here on no tick begins that has seen this term
	b.metrics.lead(false)
	b.ticking.Unlock()
	in.work.Wait()
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
