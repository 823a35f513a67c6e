package placement

import (
	"github.com/tidegate/tidegate/internal/load"
)

// smoothing is how much of a new reading counts: with a reading a second, a mean over about 20 s.
const smoothing = 0.05

// Loads measures each shard in clients: its connections, plus one for each message a second, over all
// nodes that serve it. Previous is what Loads answered at the last reading, one reading a second, and
// damps the noise of single seconds; without one of the right length the reading counts as it is.
func Loads(nodes []load.Node, shards int, previous []float64) []float64 {
	loads := make([]float64, shards)
	for i := range nodes {
		for _, s := range nodes[i].Shards {
			if s.ID >= 0 && int(s.ID) < shards {
				loads[s.ID] += float64(s.Connections) + s.MessagesPerSecond
			}
		}
	}
	if len(previous) != shards {
		return loads
	}
	for s := range loads {
		loads[s] = previous[s] + smoothing*(loads[s]-previous[s])
	}
	return loads
}
