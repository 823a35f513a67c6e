package world

import (
	"cmp"
	"math"
	"slices"
)

// serveSticky is a second of a fleet whose clients stay where they are.
func (w *World) serveSticky(o Order) {
	w.takers = w.takers[:0]
	for _, p := range w.pods {
		p.Handshakes, p.Refused = 0, 0
		if p.takes() {
			w.takers = append(w.takers, p)
		}
	}
	have := w.Connected() + w.waiting + w.returning
	stay := 1.0
	if have > w.wanted {
		stay = w.wanted / have
	}
	fresh := max(0, w.wanted-have)
	for _, p := range w.pods {
		fresh += p.leave(stay, w.end)
	}
	w.waiting *= stay
	w.returning *= stay
	again, back := w.waiting*perSecond(w.o.Physics.Retry), w.returning*perSecond(w.o.Physics.Return)
	w.waiting -= again
	w.returning -= back
	tries := fresh + again + back
	if len(w.takers) == 0 {
		w.waiting += tries
		return
	}
	switch w.o.Choice {
	case Chance:
		w.byChance(tries)
	case Fewest:
		w.byFewest(tries)
	case Room:
		w.byRoom(tries, o)
	}
}

// try lets clients knock at a node's door.
func (w *World) try(p *Pod, tries float64) {
	taken := min(tries, p.room(&w.o.Physics)-p.Handshakes)
	taken = max(0, taken)
	p.home += taken
	p.Handshakes += taken
	p.Refused += tries - taken
	w.waiting += tries - taken
}

// byChance spreads clients as a Service does.
func (w *World) byChance(tries float64) {
	each := tries / float64(len(w.takers))
	sum := 0.0
	for _, p := range w.takers {
		p.taking = max(0, each+math.Sqrt(each)*w.chances.NormFloat64())
		sum += p.taking
	}
	for _, p := range w.takers {
		if sum > 0 {
			w.try(p, tries*p.taking/sum)
		} else {
			w.try(p, each)
		}
	}
}

// byFewest fills the emptiest nodes first; who is turned away there tries the next one at once, as a proxy does.
func (w *World) byFewest(tries float64) {
	slices.SortFunc(w.takers, func(a, b *Pod) int { return cmp.Or(cmp.Compare(a.home, b.home), cmp.Compare(a.ID, b.ID)) })
	left := tries
	for i, p := range w.takers {
		p.taking = p.room(&w.o.Physics)
		level := math.Inf(1)
		if i+1 < len(w.takers) {
			level = w.takers[i+1].home
		}
		left = w.raise(w.takers[:i+1], level, left)
		if left <= 0 {
			return
		}
	}
	w.waiting += left
	for _, p := range w.takers {
		p.Refused += left / float64(len(w.takers))
	}
}

// raise brings nodes that are about equally full up to a level, as far as clients and the nodes' room reach.
func (w *World) raise(low []*Pod, level, left float64) float64 {
	open := 0
	for _, p := range low {
		if p.taking > 0 {
			open++
		}
	}
	for _, p := range low {
		if open == 0 || left <= 0 {
			break
		}
		if p.taking <= 0 {
			continue
		}
		take := min(left/float64(open), p.taking, max(0, level-p.home))
		p.home += take
		p.Handshakes += take
		p.taking -= take
		left -= take
		open--
	}
	return left
}
