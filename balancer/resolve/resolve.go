// Package resolve answers which node a client belongs to, from memory.
package resolve

import (
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/shard"
)

// Answer says where a client connects.
type Answer struct {
	Node fleet.NodeID `json:"node"`
	// URL is where the node takes clients, a ws:// or wss:// address as the node gave it.
	URL string `json:"url"`
	// TableVersion is that of the table the answer comes from; the client hands it to the node, which fetches a newer
	// table before it sends the client away.
	TableVersion uint64 `json:"tableVersion"`
	// RetryAfterMS is how long to wait before connecting, in milliseconds; 0 is not at all.
	RetryAfterMS int64 `json:"retryAfterMs"`
}

// Lookup finds the owner of the client's shard, in constant time and without allocating. It is false while nobody that
// can be reached owns the shard.
func Lookup(table *shard.Table, client string) (Answer, bool) {
	if table == nil || len(table.Rows) == 0 {
		return Answer{}, false
	}
	_, row := table.Row(client)
	node, known := table.Nodes[row.Owner]
	if !known || node.URL == "" {
		return Answer{}, false
	}
	return Answer{Node: row.Owner, URL: node.URL, TableVersion: table.Version}, true
}
