// Package beat carries heartbeats through Redis, stamped with the server's time so that no node's clock counts.
package beat

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
)

var sendScript = redis.NewScript(`
local time = redis.call('TIME')
local millis = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], millis .. ' ' .. ARGV[2])
return millis
`)

// readScript takes the time and all heartbeats at one moment: a heartbeat read later than the clock would seem
// to come from the future.
var readScript = redis.NewScript(`
local time = redis.call('TIME')
local beats = redis.call('HGETALL', KEYS[1])
table.insert(beats, 1, string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
return beats
`)

// Send stores the heartbeat under its node and returns the server time it was stamped with. The deadline is the caller's.
// A heartbeat that no reader would accept is an error and is not sent.
func Send(ctx context.Context, client redis.UniversalClient, beat load.Heartbeat) (time.Time, error) {
	body, err := beat.Encode()
	if err != nil {
		return time.Time{}, err
	}
	millis, err := sendScript.Run(ctx, client, []string{keys.Nodes(beat.Fleet)}, string(beat.Node), body).Text()
	if err != nil {
		return time.Time{}, fmt.Errorf("send heartbeat of %s: %w", beat.Node, err)
	}
	now, err := parseMillis(millis)
	if err != nil {
		return time.Time{}, fmt.Errorf("send heartbeat of %s: %w", beat.Node, err)
	}
	// Apart from the script, since the set lives in another slot of a cluster; each time, since Redis may have lost it.
	if err := client.SAdd(ctx, keys.Fleets, beat.Fleet.String()).Err(); err != nil {
		return now, fmt.Errorf("name fleet %s: %w", beat.Fleet, err)
	}
	return now, nil
}

// Read returns the newest heartbeat of each node, sorted by node, and the server time of the reading. What cannot be
// decoded, or is stored under another name than it claims, is left out and named in bad, one error a node.
func Read(ctx context.Context, client redis.UniversalClient, id fleet.ID) (beats []load.Heartbeat, now time.Time, bad []error, err error) {
	reply, err := readScript.Run(ctx, client, []string{keys.Nodes(id)}).StringSlice()
	if err != nil {
		return nil, time.Time{}, nil, fmt.Errorf("read heartbeats of %s: %w", id, err)
	}
	if len(reply)%2 != 1 {
		return nil, time.Time{}, nil, fmt.Errorf("read heartbeats of %s: the script answered %d values, want an odd count", id, len(reply))
	}
	now, err = parseMillis(reply[0])
	if err != nil {
		return nil, time.Time{}, nil, fmt.Errorf("read heartbeats of %s: %w", id, err)
	}
	for pair := range slices.Chunk(reply[1:], 2) {
		beat, err := decode(id, pair[0], pair[1])
		if err != nil {
			bad = append(bad, fmt.Errorf("heartbeat stored under %.64q of %s: %w", pair[0], id, err))
			continue
		}
		beats = append(beats, beat)
	}
	slices.SortFunc(beats, func(a, b load.Heartbeat) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return beats, now, bad, nil
}

func decode(id fleet.ID, field, value string) (load.Heartbeat, error) {
	beat, err := load.Decode([]byte(value))
	switch {
	case err != nil:
		return load.Heartbeat{}, err
	case string(beat.Node) != field:
		return load.Heartbeat{}, fmt.Errorf("it says it comes from node %s", beat.Node)
	case beat.Fleet != id:
		return load.Heartbeat{}, fmt.Errorf("it says it comes from fleet %s", beat.Fleet)
	}
	return beat, nil
}

// Forget removes the heartbeats of nodes that are gone, all in one call. Without nodes it does nothing.
func Forget(ctx context.Context, client redis.UniversalClient, id fleet.ID, nodes ...fleet.NodeID) error {
	if len(nodes) == 0 {
		return nil
	}
	names := make([]string, len(nodes))
	for i, node := range nodes {
		names[i] = string(node)
	}
	if err := client.HDel(ctx, keys.Nodes(id), names...).Err(); err != nil {
		return fmt.Errorf("forget nodes %s of %s: %w", strings.Join(names, ", "), id, err)
	}
	return nil
}

// Fleets lists the fleets that have ever sent a heartbeat, sorted. A name that is no fleet id is left out and
// named in bad.
func Fleets(ctx context.Context, client redis.UniversalClient) (ids []fleet.ID, bad []error, err error) {
	names, err := client.SMembers(ctx, keys.Fleets).Result()
	if err != nil {
		return nil, nil, fmt.Errorf("read the fleets: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		id, err := fleet.Parse(name)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		ids = append(ids, id)
	}
	return ids, bad, nil
}

func parseMillis(text string) (time.Time, error) {
	millis, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("server time: %w", err)
	}
	return time.UnixMilli(millis), nil
}
