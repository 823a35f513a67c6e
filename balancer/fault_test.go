package balancer

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/beat"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// lostReplies lets one script that writes to a key be carried out and then loses its reply.
type lostReplies struct {
	mu    sync.Mutex
	key   string
	count int
}

func (l *lostReplies) arm(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.key = key
}

func (l *lostReplies) lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *lostReplies) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (l *lostReplies) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *lostReplies) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		l.mu.Lock()
		defer l.mu.Unlock()
		// A write carries five arguments and more; a read of the cell carries fewer.
		if l.key != "" && err == nil && len(cmd.Args()) > 6 && slices.Contains(cmd.Args(), any(l.key)) {
			l.key, l.count = "", l.count+1
			err = errors.New("the reply was lost")
			cmd.SetErr(err)
		}
		return err
	}
}

// say sends a heartbeat in a node's name.
func (w *world) say(id fleet.NodeID, h load.Heartbeat) {
	w.t.Helper()
	if _, err := beat.Send(w.t.Context(), w.client, h); err != nil {
		w.t.Fatalf("heartbeat of %s: %v", id, err)
	}
}
