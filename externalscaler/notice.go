package externalscaler

import (
	"context"
	"log/slog"
	"sync"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc/codes"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// Notice says that the answers for a ScaledObject became refusals, or others, or answers again, or that a limit of
// its metadata changes them.
type Notice struct {
	// Namespace and ScaledObject name the object that asked.
	Namespace    string
	ScaledObject string
	// Fleet is the fleet it asked for; zero when the reference named none.
	Fleet fleet.ID
	// Code is what the caller was answered; OK after an earlier notice, or with a message.
	Code codes.Code
	// Message is the refusal in words, with the fix. With code OK it says why the answer is not what was decided;
	// empty says that it is, again.
	Message string
}

// Events takes notices, once for each change and never for each call.
// Report must not block; it is called from many goroutines.
type Events interface {
	Report(ctx context.Context, notice Notice)
}

// logEvents writes notices to the log where no Kubernetes Events are made of them.
type logEvents struct{ logger *slog.Logger }

// Report logs one notice.
func (l logEvents) Report(ctx context.Context, n Notice) {
	logger := l.logger.With(
		slog.String(logkey.ScaledObject, n.Namespace+"/"+n.ScaledObject),
		slog.String(logkey.Fleet, n.Fleet.String()),
		slog.String(logkey.Code, n.Code.String()))
	switch {
	case n.Code != codes.OK:
		logger.WarnContext(ctx, "the scaled object gets no answer", slog.String(logkey.Reason, n.Message))
	case n.Message != "":
		logger.WarnContext(ctx, "the scaled object gets another count than the decided one", slog.String(logkey.Reason, n.Message))
	default:
		logger.InfoContext(ctx, "the scaled object gets the decided count again")
	}
}

// maxNotices bounds what hostile names can make the server remember; beyond it, notices may repeat.
const maxNotices = 4096

// notices remembers what each ScaledObject was last refused with, or why it was answered another count.
type notices struct {
	events Events
	mu     sync.RWMutex
	said   map[object]refusal
}

// object names a ScaledObject as its caller does, checked or not.
type object struct{ namespace, name string }

func newNotices(events Events) *notices {
	return &notices{events: events, said: make(map[object]refusal)}
}

func (n *notices) refused(ctx context.Context, ref *pb.ScaledObjectRef, id fleet.ID, why *refusal) {
	n.say(ctx, object{namespace: ref.GetNamespace(), name: ref.GetName()}, id, why)
}

// say reports what was not said last about the object.
func (n *notices) say(ctx context.Context, key object, id fleet.ID, why *refusal) {
	n.mu.RLock()
	same := n.said[key] == *why
	n.mu.RUnlock()
	if same {
		return
	}
	n.mu.Lock()
	if n.said[key] == *why {
		n.mu.Unlock()
		return
	}
	if len(n.said) >= maxNotices {
		clear(n.said)
	}
	n.said[key] = *why
	n.mu.Unlock()
	n.report(ctx, key, id, *why)
}

// answered notes an answer; words say why it is not what was decided, and are empty when it is.
func (n *notices) answered(ctx context.Context, ref *pb.ScaledObjectRef, id fleet.ID, words string) {
	key := object{namespace: ref.GetNamespace(), name: ref.GetName()}
	if words != "" {
		n.say(ctx, key, id, &refusal{code: codes.OK, message: words})
		return
	}
	n.mu.RLock()
	_, before := n.said[key]
	n.mu.RUnlock()
	if !before {
		return
	}
	n.mu.Lock()
	_, before = n.said[key]
	delete(n.said, key)
	n.mu.Unlock()
	if before {
		n.report(ctx, key, id, refusal{code: codes.OK})
	}
}

func (n *notices) report(ctx context.Context, key object, id fleet.ID, why refusal) {
	n.events.Report(ctx, Notice{
		Namespace: key.namespace, ScaledObject: key.name, Fleet: id, Code: why.code, Message: why.message,
	})
}
