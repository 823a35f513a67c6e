package world

// serveShards is a second of a fleet whose clients go where the table says.
func (w *World) serveShards() {
	t := w.table
	have := w.Connected() + w.Waiting()
	stay := 1.0
	if have > w.wanted {
		stay = w.wanted / have
	}
	fresh := max(0, w.wanted-have)
	w.waiting *= stay
	w.returning *= stay
	owned := 0.0
	for _, p := range w.pods {
		p.Handshakes, p.Refused = 0, 0
		fresh += p.leave(stay, w.end)
		owned += p.share
	}
	again, back := perSecond(w.o.Physics.Retry), perSecond(w.o.Physics.Return)
	if owned > 0 {
		// Who waited for a shard that nobody owned finds an owner.
		fresh += w.waiting*again + w.returning*back
		w.waiting *= 1 - again
		w.returning *= 1 - back
	}
	for _, p := range w.pods {
		if p.share > 0 {
			w.knock(p, p.share*fresh/max(owned, smallest), again, back)
		}
	}
	if owned == 0 {
		w.waiting += fresh
	}
	t.walk()
}

// smallest keeps a division away from nothing.
const smallest = 1e-12

// knock lets the clients of a node's shards try to get in: those that bring a session first.
func (w *World) knock(p *Pod, fresh, again, back float64) {
	resumed := p.returning * back
	strangers := fresh + p.waiting*again
	p.waiting *= 1 - again
	p.returning *= 1 - back
	room := p.room(&w.o.Physics)
	taken := min(resumed, room)
	refused := resumed - taken
	p.returning += refused
	let := min(strangers, room-taken, p.strangers(room))
	p.waiting += strangers - let
	refused += strangers - let
	taken += let
	p.home += taken
	p.add += taken / p.share
	p.Handshakes, p.Refused = taken, refused
}

// reckon works out where the clients of every shard are, so that reckoning on is precise.
func (t *table) reckon() {
	for s, p := range t.owner {
		if p != nil {
			t.at[s] = t.at[s]*p.keep + t.part[s]*p.add
		}
	}
	for _, p := range t.w.pods {
		for i := range p.strands {
			p.strands[i].count *= p.keep
		}
		p.keep, p.add = 1, 0
	}
}

// flip gives a shard a new owner. The clients on the old one are strands until they have moved; who waits, waits for the new one.
func (t *table) flip(s int, to *Pod) {
	from := t.owner[s]
	count := 0.0
	if from != nil {
		count = max(0, min(from.home, t.at[s]*from.keep+t.part[s]*from.add))
		from.home -= count
		if from.share > smallest {
			part := min(1, t.part[s]/from.share)
			t.pass(from, to, part)
		}
		from.share = max(0, from.share-t.part[s])
		if from.share < smallest {
			from.share = 0
		}
	}
	t.owner[s], t.at[s] = to, 0
	if to == nil {
		// Nobody owns the shard: its clients were closed without a place to go.
		t.w.returning += count
		t.w.cut += count
		t.w.moved += count
		return
	}
	to.share += t.part[s]
	t.at[s] = -t.part[s] * to.add / to.keep
	if from != nil && count > 0 {
		from.strand += count
		from.strands = append(from.strands, strand{shard: s, count: count / from.keep, since: t.w.now})
	}
	t.comeHome(s, to)
}

// pass hands a part of those who wait for one node's shards to another.
func (t *table) pass(from, to *Pod, part float64) {
	waiting, returning := from.waiting*part, from.returning*part
	from.waiting -= waiting
	from.returning -= returning
	if to == nil {
		t.w.waiting += waiting
		t.w.returning += returning
		return
	}
	to.waiting += waiting
	to.returning += returning
}

// comeHome makes residents of those who never left a node that owns their shard again.
func (t *table) comeHome(s int, to *Pod) {
	kept := to.strands[:0]
	for _, x := range to.strands {
		if x.shard != s {
			kept = append(kept, x)
			continue
		}
		to.strand -= x.count * to.keep
		to.home += x.count * to.keep
		t.at[s] += x.count
	}
	to.strands = kept
}

// bury takes a pod that is gone out of the table's books: who was still on it comes back to the owners of their shards.
func (t *table) bury(p *Pod) {
	t.w.returning += p.Clients() + p.waiting + p.returning
	p.home, p.strand, p.waiting, p.returning, p.strands = 0, 0, 0, 0, nil
	for s, owner := range t.owner {
		if owner == p {
			t.owner[s] = nil
		}
	}
	p.share = 0
}

// some are shards of a node.
func (t *table) some(p *Pod, count int) []int {
	var out []int
	for s, owner := range t.owner {
		if owner == p && len(out) < count {
			out = append(out, s)
		}
	}
	return out
}

// heavyAt puts a shard's heavy clients where most of its clients are.
func (t *table) heavyAt(s int, clients, rate float64) {
	owner := t.owner[s]
	if owner == nil {
		return
	}
	there := max(0, t.at[s]*owner.keep+t.part[s]*owner.add)
	all := there
	for _, p := range t.w.pods {
		for _, x := range p.strands {
			if x.shard == s {
				all += x.count * p.keep
			}
		}
	}
	if all <= 0 {
		return
	}
	put := func(p *Pod, count float64) {
		p.heavy.clients += clients * count / all
		p.heavy.rate = rate
	}
	put(owner, there)
	for _, p := range t.w.pods {
		for _, x := range p.strands {
			if x.shard == s {
				put(p, x.count*p.keep)
			}
		}
	}
}
