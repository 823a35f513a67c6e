package outbox

// queue is a first-in, first-out list in one slice; its zero value is empty.
type queue[T comparable] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) first() T { return q.items[q.head] }

func (q *queue[T]) push(item T) {
	if q.head > 32 && q.head > len(q.items)/2 {
		kept := copy(q.items, q.items[q.head:])
		clear(q.items[kept:])
		q.items, q.head = q.items[:kept], 0
	}
	q.items = append(q.items, item)
}

func (q *queue[T]) pop() T {
	var none T
	item := q.items[q.head]
	q.items[q.head] = none
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item
}

// remove takes one item out of the middle and says whether it was there.
func (q *queue[T]) remove(item T) bool {
	for i := q.head; i < len(q.items); i++ {
		if q.items[i] == item {
			copy(q.items[i:], q.items[i+1:])
			var none T
			q.items[len(q.items)-1] = none
			q.items = q.items[:len(q.items)-1]
			return true
		}
	}
	return false
}
