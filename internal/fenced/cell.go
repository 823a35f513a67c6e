// Package fenced keeps values in Redis that only the newest leader may write, and follows them from other processes.
package fenced

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/keys"
)

// ErrFenced says that a newer leader has written: the writer's term is over and it must stop at once.
var ErrFenced = errors.New("a newer leader has written")

// Tokens and versions are stored as 20 digits, so that Redis compares them exactly as text: as Lua numbers they
// would lose their last digits above 2^53, and two leaders could look equal.
const digits = 20

// writeScript refuses what is older than what is stored, and announces what is new. The same token and version
// again is accepted (a retry, or a writer that makes sure the cell still exists) but not announced. Either way it is the
// time of the last write: so long was there a leader.
var writeScript = redis.NewScript(`
local old = redis.call('HMGET', KEYS[1], 'fence', 'version')
local fence, version = old[1] or '', old[2] or ''
if fence > ARGV[1] or (fence == ARGV[1] and version > ARGV[2]) then
  return {fence, version}
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'version', ARGV[2], 'body', ARGV[3], 'at', time[1] .. '.' .. time[2])
if fence ~= ARGV[1] or version ~= ARGV[2] then
  redis.call('PUBLISH', ARGV[4], ARGV[1] .. ':' .. ARGV[2])
end
return {}
`)

// readScript leaves the body out when the reader has it already. HMGET answers a missing field with false,
// which would end the reply, hence the empty text.
var readScript = redis.NewScript(`
local time = redis.call('TIME')
local cell = redis.call('HMGET', KEYS[1], 'fence', 'version', 'at')
local fence, version, body = cell[1] or '', cell[2] or '', ''
if fence ~= '' and (fence ~= ARGV[1] or version ~= ARGV[2]) then
  body = redis.call('HGET', KEYS[1], 'body') or ''
end
return {time[1], time[2], fence, version, body, cell[3] or ''}
`)

// Cell is one fenced value in Redis. It is a value and safe for concurrent use.
type Cell struct {
	client  redis.UniversalClient
	key     string
	timeout time.Duration
}

// NewCell names the cell at key; each call takes at most timeout.
func NewCell(client redis.UniversalClient, key string, timeout time.Duration) Cell {
	return Cell{client: client, key: key, timeout: timeout}
}

// Reading is what a cell held at one time.
type Reading struct {
	Body    []byte
	Fence   uint64
	Version uint64
	// Now is the Redis server's time of the reading.
	Now time.Time
	// Written is the Redis server's time of the last write, also of one that wrote the same again; zero when a leader of an
	// older version wrote.
	Written time.Time
	// Found is false while nothing was ever written.
	Found bool
}

// newer reports whether the reading supersedes one with this token and version.
func (r *Reading) newer(fence, version uint64) bool {
	return r.Fence > fence || r.Fence == fence && r.Version > version
}

// Write stores body unless the cell holds a higher token, or the same token with a higher version: then the error
// is ErrFenced and nothing changed. Any other error leaves it open whether the write happened; writing the same again is safe.
func (c Cell) Write(ctx context.Context, fence, version uint64, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	held, err := writeScript.Run(ctx, c.client, []string{c.key},
		pad(fence), pad(version), body, keys.Changed(c.key)).StringSlice()
	if err != nil {
		return fmt.Errorf("write %s: %w", c.key, err)
	}
	if len(held) == 2 {
		return fmt.Errorf("write %s with fence %d version %d: %w: it holds fence %s version %s",
			c.key, fence, version, ErrFenced, trim(held[0]), trim(held[1]))
	}
	return nil
}

// Read returns what the cell holds now; a cell that was never written is no error but Found is false.
func (c Cell) Read(ctx context.Context) (Reading, error) { return c.read(ctx, "", "") }

// read leaves Body nil when the cell still holds the token and version that the caller knows.
func (c Cell) read(ctx context.Context, knownFence, knownVersion string) (Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	parts, err := readScript.Run(ctx, c.client, []string{c.key}, knownFence, knownVersion).StringSlice()
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", c.key, err)
	}
	if len(parts) != 6 {
		return Reading{}, fmt.Errorf("read %s: the script answered %d values, want 6", c.key, len(parts))
	}
	now, err := serverTime(parts[0], parts[1])
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", c.key, err)
	}
	if parts[2] == "" {
		return Reading{Now: now}, nil
	}
	fence, errFence := strconv.ParseUint(parts[2], 10, 64)
	version, errVersion := strconv.ParseUint(parts[3], 10, 64)
	if err := errors.Join(errFence, errVersion); err != nil {
		return Reading{}, fmt.Errorf("read %s: it was not written by a leader: %w", c.key, err)
	}
	reading := Reading{Body: []byte(parts[4]), Fence: fence, Version: version, Now: now, Found: true}
	if seconds, micros, told := strings.Cut(parts[5], "."); told {
		if reading.Written, err = serverTime(seconds, micros); err != nil {
			return Reading{}, fmt.Errorf("read %s: %w", c.key, err)
		}
	}
	return reading, nil
}

func serverTime(seconds, micros string) (time.Time, error) {
	s, errSeconds := strconv.ParseInt(seconds, 10, 64)
	us, errMicros := strconv.ParseInt(micros, 10, 64)
	if err := errors.Join(errSeconds, errMicros); err != nil {
		return time.Time{}, fmt.Errorf("server time: %w", err)
	}
	return time.Unix(s, us*int64(time.Microsecond)), nil
}

func pad(n uint64) string { return fmt.Sprintf("%0*d", digits, n) }

func trim(padded string) string {
	n, err := strconv.ParseUint(padded, 10, 64)
	if err != nil {
		return strconv.Quote(padded)
	}
	return strconv.FormatUint(n, 10)
}
