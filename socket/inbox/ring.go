package inbox

// ring is a growing ring of items, each found by its place: a number that never changes while the item is there.
type ring struct {
	items []item
	// from is the place of the oldest item, count how many there are.
	from  uint64
	count int
}

// ringFirst is the size of a ring with anything in it; sizes are powers of two.
const ringFirst = 16

func (r *ring) len() int      { return r.count }
func (r *ring) begin() uint64 { return r.from }
func (r *ring) end() uint64   { return r.from + uint64(r.count) }

func (r *ring) at(place uint64) *item { return &r.items[place&uint64(len(r.items)-1)] }

// push adds the newest item and returns its place.
func (r *ring) push(i item) uint64 {
	if r.count == len(r.items) {
		r.resize(max(2*len(r.items), ringFirst))
	}
	place := r.end()
	*r.at(place) = i
	r.count++
	return place
}

// pop removes the oldest item. A ring that holds little gives its memory back.
func (r *ring) pop() item {
	oldest := *r.at(r.from)
	*r.at(r.from) = item{}
	r.from++
	r.count--
	if len(r.items) > ringFirst && r.count <= len(r.items)/8 {
		r.resize(len(r.items) / 4)
	}
	return oldest
}

func (r *ring) resize(size int) {
	next := ring{items: make([]item, max(size, ringFirst)), from: r.from, count: r.count}
	for place := r.begin(); place < r.end(); place++ {
		*next.at(place) = *r.at(place)
	}
	*r = next
}
