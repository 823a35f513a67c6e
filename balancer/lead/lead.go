// Package lead elects the one balancer that decides, and gives each term of leadership a fencing token that only grows.
package lead

import "context"

// Term is one unbroken time of leadership.
type Term struct {
	// Fence is the term's token: higher than that of every term before, in whatever Redis they were given out.
	Fence uint64
}

// Elector makes one replica at a time the leader.
type Elector interface {
	// Run takes part in elections until ctx ends and calls lead each time this replica is elected. The context of
	// lead ends before another replica can be elected; lead must then return. When lead returns by itself the term
	// is given up. An error means that this elector can never work.
	Run(ctx context.Context, lead func(ctx context.Context, t Term)) error
	// Leader names who leads as far as this replica knows; empty when it does not.
	Leader() string
}
