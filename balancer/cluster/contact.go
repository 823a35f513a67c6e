package cluster

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate/tidegate/internal/scaledobject"
)

// contact is when the API server was last heard about one namespace, or about all. What a watch does not tell of is
// either nothing new or a connection that is broken: a question now and then tells the two apart. It is safe for
// concurrent use.
type contact struct {
	now     func() time.Time // with a monotonic reading
	silence time.Duration    // after so long what was heard may be over

	mu sync.Mutex
	// answered is when it last answered; broken holds since when each kind of object could not be listed or watched.
	answered time.Time
	broken   map[string]time.Time
}

func newContact(now func() time.Time, silence time.Duration) *contact {
	return &contact{now: now, silence: silence, answered: now(), broken: map[string]time.Time{}}
}

// answer says that the API server has just answered.
func (c *contact) answer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = c.now()
}

// failed says that a kind of object could not be listed or watched.
func (c *contact) failed(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, already := c.broken[kind]; !already {
		c.broken[kind] = c.now()
	}
}

// watches says that a kind of object is watched from now on.
func (c *contact) watches(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.broken, kind)
}

// lost reports whether what was heard may be over.
func (c *contact) lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.answered) > c.silence {
		return true
	}
	for _, since := range c.broken {
		if now.Sub(since) > c.silence {
			return true
		}
	}
	return false
}

// ask asks the API server each period whether it is still there, until ctx ends, and says once when it is lost and when it
// is found again.
func (w *Watcher) ask(ctx context.Context) {
	again := time.NewTicker(w.settings.AskEvery)
	defer again.Stop()
	said := ""
	for {
		if w.answers(ctx) {
			for _, k := range w.caches {
				k.contact.answer()
			}
		}
		said = w.report(said)
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// answers asks once, for the least that there is. To be refused is an answer too: whether each watch is allowed is another
// question. One namespace stands for all, since the server is the same.
func (w *Watcher) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, w.settings.AskEvery)
	defer cancel()
	_, err := w.clients.Dynamic.Resource(scaledobject.Resource).Namespace(w.settings.Namespaces[0]).List(ctx, meta.ListOptions{Limit: 1})
	return err == nil || errors.IsForbidden(err) || errors.IsNotFound(err)
}

// report logs the namespaces that are not heard of when they are others than was said, and returns them.
func (w *Watcher) report(said string) string {
	var lost []string
	for namespace, k := range w.caches {
		if k.contact.lost() {
			lost = append(lost, "\""+namespace+"\"")
		}
	}
	slices.Sort(lost)
	now := strings.Join(lost, ", ")
	switch now {
	case said:
	case "":
		w.logger.Info("the API server is heard again")
	default:
		w.logger.Warn("the API server is not heard: no node leaves, and no wider step and no shadow's count is served, until it is", slog.String("namespaces", now))
	}
	return now
}
