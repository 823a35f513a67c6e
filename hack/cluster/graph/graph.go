// Package graph runs steps side by side, each after those it needs.
package graph

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Step is something to do once.
type Step struct {
	Name  string
	Needs []string
	Run   func(ctx context.Context) error
}

// Run does every step and returns the first error, after which no further step starts. Steps must not need each other in
// a circle; a need that no step has is an error.
func Run(ctx context.Context, steps []Step) error {
	done := make(map[string]chan struct{}, len(steps))
	for _, s := range steps {
		done[s.Name] = make(chan struct{})
	}
	for _, s := range steps {
		for _, need := range s.Needs {
			if done[need] == nil {
				return fmt.Errorf("step %q needs %q, which is no step", s.Name, need)
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range steps {
		group.Go(func() error {
			for _, need := range s.Needs {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-done[need]:
				}
			}
			if err := s.Run(ctx); err != nil {
				return err
			}
			close(done[s.Name])
			return nil
		})
	}
	return group.Wait()
}
