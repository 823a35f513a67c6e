package lead_test

import (
	"context"
	"encoding/json"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// memoryLease is a Lease object without an API server.
type memoryLease struct {
	mu     sync.Mutex
	record *resourcelock.LeaderElectionRecord
}

// memoryLock is one candidate's view of it.
type memoryLock struct {
	lease *memoryLease
	id    string
}

var leases = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

func (l *memoryLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.lease.mu.Lock()
	defer l.lease.mu.Unlock()
	if l.lease.record == nil {
		return nil, nil, apierrors.NewNotFound(leases, "balancer")
	}
	record := *l.lease.record
	raw, err := json.Marshal(record)
	return &record, raw, err
}

func (l *memoryLock) Create(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.Update(context.Background(), record)
}

func (l *memoryLock) Update(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	l.lease.mu.Lock()
	defer l.lease.mu.Unlock()
	l.lease.record = &record
	return nil
}

func (l *memoryLock) RecordEvent(string) {}

func (l *memoryLock) Identity() string { return l.id }

func (l *memoryLock) Describe() string { return "memory" }
