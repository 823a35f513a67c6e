package world

import (
	"math"

	"github.com/tidegate/tidegate/internal/fleet"
)

// walk moves residents to the owners of their shards: each node sends at most as many a second as its pace allows and its
// leisure asks, and each takes at most as many as its pace allows.
func (t *table) walk() {
	for _, p := range t.w.pods {
		p.taking = -1
	}
	for _, p := range t.w.pods {
		if len(p.strands) == 0 {
			continue
		}
		late := t.late(p)
		rate := min(t.w.o.Physics.Pace, t.leisure(p, late))
		if rate <= 0 {
			continue
		}
		whom := len(p.strands)
		if rate < t.w.o.Physics.Pace && p.use < t.w.o.Physics.Leisure.Calm {
			whom = late
		}
		t.send(p, whom, rate)
	}
}

// late counts the strands that have stayed for the longest time, which come first.
func (t *table) late(p *Pod) int {
	n, longest := 0, int(t.w.o.Physics.Leisure.Longest.Seconds())
	for n < len(p.strands) && t.w.now-p.strands[n].since >= longest {
		n++
	}
	return n
}

// leisure is how many clients a second a node would like to send at most; one that goes sends as many as it can.
func (t *table) leisure(p *Pod, late int) float64 {
	if p.State != fleet.Serving && p.State != fleet.Starting {
		return math.Inf(1)
	}
	return t.w.o.Physics.Leisure.Rate(p.use, p.strand, p.counted(late))
}

// counted are the clients of the first strands.
func (p *Pod) counted(first int) float64 {
	sum := 0.0
	for _, x := range p.strands[:first] {
		sum += x.count
	}
	return sum * p.keep
}

// send moves so many residents of one node, of the first strands alike, so that no target gets them all.
func (t *table) send(p *Pod, first int, rate float64) {
	w, x := t.w, &t.w.o.Physics
	part := min(1, rate/max(p.counted(first), smallest))
	kept := p.strands[:0]
	for i, s := range p.strands {
		to := t.owner[s.shard]
		if i >= first || to == nil {
			kept = append(kept, s)
			continue
		}
		if to.taking < 0 {
			to.taking = min(x.Pace, max(0, to.room(x)-to.Handshakes))
		}
		here := s.count * p.keep
		count := min(here*part, to.taking)
		if here < few && here <= to.taking {
			count = here
		}
		to.taking -= count
		to.Handshakes += count
		to.home += count
		p.strand = max(0, p.strand-count)
		t.at[s.shard] += count / to.keep
		w.moved += count
		if s.count -= count / p.keep; s.count*p.keep > smallest {
			kept = append(kept, s)
		}
	}
	p.strands = kept
	if len(kept) == 0 {
		p.home += p.strand // what rounding left
		p.strand = 0
	}
}

// few clients of a shard go together, or a part of a part would always be left.
const few = 0.01
