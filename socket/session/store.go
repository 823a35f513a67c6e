// Package session keeps what Redis knows of sessions: one record a client, that says with which epoch, on which node
// and up to which offset it lives. Redis is a hint here: what must not be lost is in the log and in resume tokens.
package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/protocol"
)

// grace is how much longer than the resume window a record lives, so that a client that comes back in the last
// moment still finds it.
const grace = time.Minute

// Record is one client's newest session.
type Record struct {
	Client  string
	Session string
	// Epoch grows with each connection of the client.
	Epoch uint64
	Node  fleet.NodeID
	// Offset is the last one the client acknowledged; zero is none.
	Offset protocol.Offset
}

// startScript raises the epoch above the stored and the proven one and takes the record over in one step: two nodes
// that start sessions of one client at the same time get different epochs. The field `at` is for people who look.
var startScript = redis.NewScript(`
local old = redis.call('HMGET', KEYS[1], 'epoch', 'session', 'node', 'topic', 'offset')
local epoch = math.max(tonumber(old[1] or '0') or 0, tonumber(ARGV[1])) + 1
local text = string.format('%.0f', epoch)
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'epoch', text, 'session', ARGV[2], 'node', ARGV[3], 'at', time[1])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'topic', ARGV[4], 'offset', ARGV[5]) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return {text, old[1] or '', old[2] or '', old[3] or '', old[4] or '', old[5] or ''}
`)

// putScript never overwrites a newer session: a late write of an older node changes nothing.
const putScript = `
local old = redis.call('HGET', KEYS[1], 'epoch')
if old and (tonumber(old) or 0) > tonumber(ARGV[1]) then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'session', ARGV[2], 'node', ARGV[3], 'at', time[1])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'topic', ARGV[4], 'offset', ARGV[5]) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 1
`

// Store reads and writes the records of one fleet. It is safe for concurrent use; every call takes at most its timeout.
type Store struct {
	client  redis.UniversalClient
	fleet   fleet.ID
	ttl     time.Duration
	timeout time.Duration
}

// NewStore keeps records of the fleet for the resume window and a little more.
func NewStore(client redis.UniversalClient, id fleet.ID, window, timeout time.Duration) *Store {
	return &Store{client: client, fleet: id, ttl: window + grace, timeout: timeout}
}

// TTL is how long a record lives after it was written.
func (s *Store) TTL() time.Duration { return s.ttl }

// Start takes the client's record over: r.Epoch is the highest epoch that is proven otherwise (by a resume token, by
// the log), and the new epoch is above it and above the record's. It returns the new epoch and the record as it was;
// found is false when there was none. An r.Offset replaces the record's.
func (s *Store) Start(ctx context.Context, r Record) (epoch uint64, before Record, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := startScript.Run(ctx, s.client, []string{keys.Session(s.fleet, r.Client)}, s.args(r)...).StringSlice()
	if err != nil {
		return 0, Record{}, false, fmt.Errorf("start session of %q: %w", r.Client, err)
	}
	if len(reply) != 6 {
		return 0, Record{}, false, fmt.Errorf("start session of %q: the script answered %d values, want 6", r.Client, len(reply))
	}
	if epoch, err = strconv.ParseUint(reply[0], 10, 64); err != nil {
		return 0, Record{}, false, fmt.Errorf("start session of %q: epoch: %w", r.Client, err)
	}
	before, found = parse(r.Client, reply[1:])
	return epoch, before, found, nil
}

// parse reads a stored record. One that makes no sense counts as none: it is a hint that anybody could have written.
func parse(client string, fields []string) (Record, bool) {
	epoch, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return Record{}, false
	}
	r := Record{Client: client, Epoch: epoch, Session: fields[1], Node: fleet.NodeID(fields[2])}
	if value, err := strconv.ParseInt(fields[4], 10, 64); err == nil {
		offset := protocol.Offset{Topic: fields[3], Value: value}
		if offset.Validate() == nil {
			r.Offset = offset
		}
	}
	return r, true
}

// Put writes records in one round trip, and leaves alone those of which a newer session is stored.
func (s *Store) Put(ctx context.Context, records []Record) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, r := range records {
			// EVAL and not EVALSHA: in a pipeline nobody can answer "no such script" by sending it.
			pipe.Eval(ctx, putScript, []string{keys.Session(s.fleet, r.Client)}, s.args(r)...)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %d session records: %w", len(records), err)
	}
	return nil
}

func (s *Store) args(r Record) []any {
	offset := ""
	if !r.Offset.IsZero() {
		offset = strconv.FormatInt(r.Offset.Value, 10)
	}
	return []any{
		strconv.FormatUint(r.Epoch, 10), r.Session, string(r.Node), r.Offset.Topic, offset, s.ttl.Milliseconds(),
	}
}

// Expiry returns how long the client's record still lives; found is false when there is none.
func (s *Store) Expiry(ctx context.Context, client string) (left time.Duration, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	left, err = s.client.PTTL(ctx, keys.Session(s.fleet, client)).Result()
	if err != nil {
		return 0, false, fmt.Errorf("look up session of %q: %w", client, err)
	}
	return left, left > 0, nil
}

// Marker is the mark that tells whether this Redis knows the fleet's sessions.
type Marker struct {
	// Value is empty when there is no mark: Redis is empty or new.
	Value string
	// Age is how long ago the mark was set, by the server's clock.
	Age time.Duration
}

// Marker reads the mark. A value that is no time counts as just set.
func (s *Store) Marker(ctx context.Context) (Marker, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	value, err := s.client.Get(ctx, keys.Marker(s.fleet)).Result()
	if errors.Is(err, redis.Nil) {
		return Marker{}, nil
	}
	if err != nil {
		return Marker{}, fmt.Errorf("read the fleet's mark: %w", err)
	}
	now, err := s.client.Time(ctx).Result()
	if err != nil {
		return Marker{}, fmt.Errorf("read the Redis clock: %w", err)
	}
	millis, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return Marker{Value: value}, nil
	}
	return Marker{Value: value, Age: now.Sub(time.UnixMilli(millis))}, nil
}
