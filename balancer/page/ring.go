package page

// ring keeps the newest values up to a bound, oldest first.
type ring[T any] struct {
	values []T
	start  int
	limit  int
}

func newRing[T any](limit int) ring[T] { return ring[T]{limit: max(limit, 1)} }

// push adds a value and forgets the oldest beyond the bound.
func (r *ring[T]) push(value T) {
	if len(r.values) < r.limit {
		r.values = append(r.values, value)
		return
	}
	r.values[r.start] = value
	r.start = (r.start + 1) % r.limit
}

func (r *ring[T]) len() int { return len(r.values) }

// at returns the i-th oldest value.
func (r *ring[T]) at(i int) T { return r.values[r.place(i)] }

// last returns the newest value for reading or changing in place; nil when there is none.
func (r *ring[T]) last() *T {
	if len(r.values) == 0 {
		return nil
	}
	return &r.values[r.place(len(r.values)-1)]
}

// list copies the values, oldest first.
func (r *ring[T]) list() []T {
	out := make([]T, 0, len(r.values))
	out = append(out, r.values[r.start:]...)
	return append(out, r.values[:r.start]...)
}

// keep forgets every value that the rule refuses.
func (r *ring[T]) keep(rule func(T) bool) {
	kept := make([]T, 0, len(r.values))
	for i := range r.values {
		if value := r.at(i); rule(value) {
			kept = append(kept, value)
		}
	}
	r.values, r.start = kept, 0
}

func (r *ring[T]) place(i int) int { return (r.start + i) % len(r.values) }
