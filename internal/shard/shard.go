// Package shard names the shards of a fleet's inbox and holds the table of which node owns which.
package shard

import "github.com/cespare/xxhash/v2"

// ID is one partition of a fleet's inbox topic, counted from 0.
type ID int32

// Of names the shard of a client for ever: xxHash64 of the id, modulo the count of shards.
// Count must be positive; it is fixed when the fleet's topic is created.
func Of(client string, count int) ID {
	return ID(xxhash.Sum64String(client) % uint64(count))
}
