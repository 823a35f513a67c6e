package redisconn

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Time is the server's clock, the only one that processes compare.
func Time(ctx context.Context, client redis.UniversalClient) (time.Time, error) {
	now, err := client.Time(ctx).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("read the Redis clock: %w", err)
	}
	return now, nil
}

// PersistenceWarning says in words what a restart of this Redis would lose; empty when it would lose nothing
// that matters, or when the server does not tell.
func PersistenceWarning(ctx context.Context, client redis.UniversalClient) string {
	info, err := client.Info(ctx, "persistence").Result()
	if err != nil {
		return ""
	}
	return persistenceWarning(info)
}

func persistenceWarning(info string) string {
	for line := range strings.Lines(info) {
		if strings.TrimSpace(line) == "aof_enabled:0" {
			return "Redis runs without an append-only file: when it is killed it forgets the sessions and the shard table, " +
				"and clients resume only from their own tokens. Set appendonly yes and appendfsync everysec."
		}
	}
	return ""
}

// LogTo sends what the Redis client says by itself (lost connections, above all) to a logger at debug level.
// The client keeps one logger a process, so only a command calls this, once, before it opens a client.
func LogTo(logger *slog.Logger) { redis.SetLogger(clientLog{logger}) }

type clientLog struct{ logger *slog.Logger }

// Printf is what the client calls.
func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	l.logger.DebugContext(ctx, "redis client", slog.String("text", fmt.Sprintf(format, v...)))
}
