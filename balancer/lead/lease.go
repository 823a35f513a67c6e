package lead

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/keys"
)

// maxFence is the largest token that Lua counts exactly. Milliseconds reach it in the year 287396.
const maxFence = 1 << 53

// fenceRule is shared by both scripts: a token is above every earlier one, above what this process has ever seen
// (Redis may have lost its data) and not below the server's clock (the process may be new as well).
const fenceRule = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function grow(key, floor)
  local token = math.max(tonumber(redis.call('GET', key) or '0') + 1, tonumber(floor) + 1, now)
  redis.call('SET', key, string.format('%d', token))
  return string.format('%d', token)
end
`

var fenceScript = redis.NewScript(fenceRule + `return grow(KEYS[1], ARGV[1])`)

// acquireScript compares times by the server's clock itself: the key's expiry only tidies up.
var acquireScript = redis.NewScript(fenceRule + `
local lease = redis.call('HMGET', KEYS[1], 'holder', 'until')
if lease[1] and lease[1] ~= ARGV[2] and tonumber(lease[2]) > now then
  return {lease[1], ''}
end
local token = grow(KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'fence', token, 'until', string.format('%d', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {ARGV[2], token}
`)

var renewScript = redis.NewScript(`
local lease = redis.call('HMGET', KEYS[1], 'holder', 'fence')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%d', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`)

var releaseScript = redis.NewScript(`
local lease = redis.call('HMGET', KEYS[1], 'holder', 'fence')
if lease[1] == ARGV[1] and lease[2] == ARGV[2] then
  return redis.call('DEL', KEYS[1])
end
return 0
`)

// redisLease keeps the lease and its token in Redis.
type redisLease struct {
	client redis.UniversalClient
	holder string
	ttl    time.Duration
}

func (l *redisLease) acquire(ctx context.Context, floor uint64) (holder string, fence uint64, err error) {
	reply, err := acquireScript.Run(ctx, l.client, []string{keys.LeaderLease, keys.LeaderFence},
		floor, l.holder, l.ttl.Milliseconds()).StringSlice()
	if err != nil {
		return "", 0, fmt.Errorf("acquire the leader's lease: %w", err)
	}
	if len(reply) != 2 {
		return "", 0, fmt.Errorf("acquire the leader's lease: the script answered %d values, want 2", len(reply))
	}
	if reply[1] == "" {
		return reply[0], 0, nil
	}
	fence, err = parseFence(reply[1])
	return reply[0], fence, err
}

func (l *redisLease) renew(ctx context.Context, fence uint64) error {
	ok, err := renewScript.Run(ctx, l.client, []string{keys.LeaderLease},
		l.holder, strconv.FormatUint(fence, 10), l.ttl.Milliseconds()).Bool()
	// A false answer of a script reads as "nil", which is an answer all the same.
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("renew the leader's lease: %w", err)
	}
	if !ok {
		return errLost
	}
	return nil
}

func (l *redisLease) release(ctx context.Context, fence uint64) error {
	err := releaseScript.Run(ctx, l.client, []string{keys.LeaderLease}, l.holder, strconv.FormatUint(fence, 10)).Err()
	if err != nil {
		return fmt.Errorf("release the leader's lease: %w", err)
	}
	return nil
}

// nextFence gives out a token without a lease, for leaders that another lock elects.
func nextFence(ctx context.Context, client redis.UniversalClient, floor uint64) (uint64, error) {
	text, err := fenceScript.Run(ctx, client, []string{keys.LeaderFence}, floor).Text()
	if err != nil {
		return 0, fmt.Errorf("take a fencing token: %w", err)
	}
	return parseFence(text)
}

var raiseScript = redis.NewScript(`
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1
`)

// Raise makes every later token higher than fence. A leader calls it when it finds a higher token in use than its own: Redis
// lost its data and its clock was set back. The term must end then; the next one's token is higher.
func Raise(ctx context.Context, client redis.UniversalClient, fence uint64) error {
	if fence >= maxFence-1 {
		return fmt.Errorf("the fencing token %d is in use though nobody can have given it out: restart the nodes that report it", fence)
	}
	if err := raiseScript.Run(ctx, client, []string{keys.LeaderFence}, fence).Err(); err != nil {
		return fmt.Errorf("raise the fencing token: %w", err)
	}
	return nil
}

func parseFence(text string) (uint64, error) {
	fence, err := strconv.ParseUint(text, 10, 64)
	if err != nil || fence >= maxFence {
		return 0, fmt.Errorf("the fencing token %q in %s cannot grow any more: somebody else wrote it; delete that key",
			text, keys.LeaderFence)
	}
	return fence, nil
}
