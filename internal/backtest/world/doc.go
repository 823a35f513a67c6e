// Package world is a fleet that exists only in arithmetic, second by second: pods that start late or never, nodes whose CPU,
// memory and latency follow from what is on them, clients that come, stay for a while, are turned away and try again.
//
// It has no opinion about how many pods there should be. It gives every policy the same demand and the same pods; what
// differs is how clients find a node: by chance, to the node with the fewest (sticky fleets: a client stays where it is), or
// by the shard table of the balancer (movable fleets).
//
// What is simplified. Clients are a fluid: fractions of a client exist, so that nothing but chance itself is random. A node's
// CPU is that of one second; what it cannot do in a second waits for the next and shows in its latency. A server turns a
// handshake away when it has no CPU or memory left for it or has reached its limit of connections; this holds for the servers
// of every row alike. A client that was turned away tries again 5 s later on the mean, one that was cut 2 s later. Heartbeats
// and decisions arrive within their second; the CPU that a heartbeat tells is off by 4 % (one standard deviation, anew each second),
// while an HPA's CPU comes from counters that lose nothing, and has no such noise. The table's steps are taken in every second in which a node comes or goes or a shard
// that moves is warm, every 10 s while a node is hot or turns clients away, and every 30 s otherwise, since nothing but small
// imbalances can then be found: a step looks at every shard, and a week has 604,800 seconds. Decisions are made every second.
package world
