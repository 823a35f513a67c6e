package placement

import "github.com/tidegate/tidegate/internal/fleet"

// Stand says how a node's use depends on its shards: Fixed plus Scale times what their traffic costs by the model. What
// handshakes cost is left out: it passes, and moving clients would only cause more.
type Stand struct{ Fixed, Scale Use }

const (
	// explained is how much of a node its clients must cost before what they really use tells how fast the node is.
	explained = 0.05
	// slowest and fastest bound what a client costs a node, as multiples of the model.
	slowest = 4.0
	fastest = 0.5
)

// stand reads a node's level by the model.
func (m Model) stand(l Level) Stand {
	var s Stand
	s.Fixed.CPU, s.Scale.CPU = m.CPU.stand(l.CPU, l)
	s.Fixed.Memory, s.Scale.Memory = m.Memory.stand(l.Memory, l)
	return s
}

func (c Cost) stand(used float64, l Level) (fixed, scale float64) {
	steady, own := c.steady(used, l), c.of(l.Traffic)
	scale = 1.0
	if own >= explained {
		scale = min(max((steady-c.Base)/own, fastest), slowest)
	}
	return max(0, steady-scale*own), scale
}

// steady is what a node uses while nobody connects.
func (c Cost) steady(used float64, l Level) float64 { return max(0, used-c.PerHandshake*l.Handshakes) }

// use is what the node uses with such traffic.
func (s Stand) use(m Model, t Traffic) Use { return s.Fixed.plus(m.Cost(t).times(s.Scale)) }

// takes is the use that traffic adds to the node. A node that looks faster than others is not believed to be.
func (s Stand) takes(cost Use) Use {
	return cost.times(Use{CPU: max(1, s.Scale.CPU), Memory: max(1, s.Scale.Memory)})
}

// Project tells what each node of the picture will use once every shard is where it belongs.
func (p *Picture) Project(owners []fleet.NodeID) []Use {
	index := make(map[fleet.NodeID]int, len(p.Nodes))
	uses := make([]Use, len(p.Nodes))
	for i := range p.Nodes {
		index[p.Nodes[i].ID] = i
		uses[i] = p.Nodes[i].Stand.Fixed
	}
	for s, owner := range owners {
		if i, known := index[owner]; known && s < len(p.Shards) {
			uses[i] = uses[i].plus(p.Model.Cost(p.Shards[s]).times(p.Nodes[i].Stand.Scale))
		}
	}
	return uses
}
