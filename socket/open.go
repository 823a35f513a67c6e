package socket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/internal/token"
	"github.com/tidegate/tidegate/socket/engine"
	"github.com/tidegate/tidegate/socket/inbox"
	"github.com/tidegate/tidegate/socket/outbox"
	"github.com/tidegate/tidegate/socket/report"
	"github.com/tidegate/tidegate/socket/session"
	"github.com/tidegate/tidegate/socket/usage"
)

const (
	// tablePoll is how often the table is read in case an announcement was lost.
	tablePoll = 2 * time.Second
	// kafkaRetry is the time between two tries to reach Kafka at the start.
	kafkaRetry = time.Second
	// headerTimeout bounds slow callers of the admin port.
	headerTimeout = 5 * time.Second
)

// server is a node with its listeners.
type server struct {
	*node
	engine   engine.Engine
	public   net.Listener
	private  net.Listener
	admin    *http.Server
	mover    *mover
	follower *follower
}

// open builds a node up to the point where it can serve. What was opened is closed again when an error is returned.
func open(ctx context.Context, o Options, logger *slog.Logger) (*server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	id, err := o.nodeID()
	if err != nil {
		return nil, err
	}
	s := &server{node: &node{
		o: o, id: id, shards: o.Shards, now: time.Now,
		logger:    logger.With(slog.String(logkey.Component, "socket"), slog.String(logkey.Fleet, o.Fleet.String()), slog.String(logkey.Node, string(id))),
		meter:     &report.Meter{},
		metrics:   newMetrics(string(id), o.Fleet.String()),
		residents: newResidents(), starts: newStarts(), readiness: newPulse(), stirred: newPulse(),
		refreshing: make(chan struct{}, 1), lifecycle: newLifecycle(),
	}}
	// The node outlives ctx: its end begins the shutdown.
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.assemble(ctx); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *server) assemble(ctx context.Context) error {
	steps := []func(context.Context) error{s.listen, s.openIdentity, s.openRedis, s.openKafka}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.openReport()
	s.metrics.watch(s.node)
	s.engine = engine.New(s.o.WS, s.node, s.logger)
	s.admin = &http.Server{Handler: s.node.admin(), ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug)}
	s.mover, s.follower = &mover{node: s.node}, &follower{node: s.node}
	return nil
}

// listen takes the ports first, so that a wrong one is said at once.
func (s *server) listen(ctx context.Context) error {
	var err error
	if s.public, err = s.o.forClients().Open(ctx); err != nil {
		return err
	}
	s.private, err = s.o.forOperators().Open(ctx)
	return err
}

func (s *server) openIdentity(context.Context) error {
	var err error
	if s.verifier, err = s.o.Token.Verifier(s.ctx, s.now, s.logger); err != nil { //nolint:contextcheck // the node outlives the start's context
		return err
	}
	if s.o.ResumeKeyFile != "" {
		if s.ring, err = token.LoadRing(s.o.ResumeKeyFile); err != nil {
			return fmt.Errorf("--resume-key-file: %w", err)
		}
		return nil
	}
	s.logger.Warn("no resume key file: other nodes will not know this node's resume tokens")
	s.ring, err = token.ParseRing(strings.NewReader(token.NewKeyLine("dev")))
	return err
}

func (s *server) openRedis(ctx context.Context) error {
	var err error
	if s.redis, err = redisconn.Open(s.o.Redis); err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, s.o.Redis.Timeout)
	defer cancel()
	if warning := redisconn.PersistenceWarning(asked, s.redis); warning != "" {
		s.logger.Warn("Redis would forget", slog.String(logkey.Reason, warning))
	}
	s.store = session.NewStore(s.redis, s.o.Fleet, s.o.ResumeWindow, s.o.Redis.Timeout)
	s.known = session.NewKnown(s.store, s.now)
	s.keeper = session.NewKeeper(s.store, s.now, s.logger)
	cell := fenced.NewCell(s.redis, keys.Table(s.o.Fleet), s.o.Redis.Timeout)
	s.table = fenced.Follow[*shard.Table](s.ctx, cell, tablePoll, s.decodeTable, s.logger) //nolint:contextcheck // the node outlives the start's context
	return nil
}

func (s *server) openKafka(ctx context.Context) error {
	topic, err := s.ensureInbox(ctx)
	if err != nil {
		return err
	}
	s.topic = topic.TopicID
	if s.outbox, err = outbox.New(outbox.Config{Kafka: s.o.Kafka, Topic: topic.Topic, Logger: s.logger}); err != nil { //nolint:contextcheck // the outbox ends with Close
		return err
	}
	s.inbox, err = inbox.New(inbox.Config{
		Kafka: s.o.Kafka, Topic: topic.Topic, Shards: s.shards, Window: s.o.ResumeWindow, Node: s.id,
		Writer: s.outbox, Events: s.node, Group: keys.InboxGroup(s.o.Fleet), MaxBytes: s.o.inboxBytes(), Logger: s.logger,
	})
	return err
}

// ensureInbox creates or checks the inbox topic. A Kafka that is away is waited for, as long as a start may take.
func (s *server) ensureInbox(ctx context.Context) (kafka.Inbox, error) {
	spec := kafka.InboxSpec{Shards: s.o.Shards, Window: s.o.ResumeWindow, Production: s.o.Production}
	ticker := time.NewTicker(kafkaRetry)
	defer ticker.Stop()
	for until := s.now().Add(s.o.StartTimeout); ; {
		topic, warnings, err := kafka.EnsureInbox(ctx, s.o.Kafka, s.o.Fleet, spec)
		for _, warning := range warnings {
			s.logger.Warn("inbox topic", slog.String(logkey.Reason, warning))
		}
		if !errors.Is(err, sarama.ErrOutOfBrokers) || s.now().After(until) {
			return topic, err
		}
		s.logger.Warn("Kafka is away; the node starts when it answers", slog.Any(logkey.Err, err))
		select {
		case <-ctx.Done():
			return topic, err
		case <-ticker.C:
		}
	}
}

// inboxBytes is what of the memory limit the inbox may fill with messages; 0 is its default.
func (o *Options) inboxBytes() int64 {
	const share = 4
	if limit, ok := usage.MemoryLimit(os.DirFS("/"), o.limits()); ok {
		return min(int64(limit)/share, 256<<20)
	}
	return 0
}

func (o *Options) limits() usage.Limits {
	return usage.Limits{CPU: o.CPULimit, Memory: o.MemoryLimit}
}

func (s *server) openReport() {
	root := os.DirFS("/")
	s.usage = usage.NewMeter(root, usage.Self(root), s.o.limits(), s.now)
	began := s.now()
	c := &collector{
		node: s.node, incarnation: began.UnixNano(), began: began,
		url: s.o.URL, adminURL: s.o.AdminURL,
	}
	if c.url == "" {
		c.url = "ws://" + s.o.advertised(s.public.Addr()) + protocol.ConnectPath
	}
	if c.adminURL == "" {
		c.adminURL = "http://" + s.o.advertised(s.private.Addr())
	}
	s.reporter = report.NewReporter(s.o.HeartbeatInterval, s.o.Redis.Timeout, c.collect, s.send, s.logger)
}

// release closes what is open, in the order in which nothing is missed.
func (s *server) release() {
	s.stop()
	if s.inbox != nil {
		s.inbox.Close()
	}
	if s.outbox != nil {
		s.outbox.Close()
	}
	if s.table != nil {
		s.table.Wait()
	}
	if s.redis != nil {
		closeQuietly(s.redis)
	}
	for _, listener := range []net.Listener{s.public, s.private} {
		if listener != nil {
			closeQuietly(listener)
		}
	}
}

// closeQuietly closes what holds nothing any more.
func closeQuietly(c interface{ Close() error }) { _ = c.Close() }

var (
	_ engine.Handler         = (*node)(nil)
	_ engine.RefusalObserver = (*node)(nil)
	_ engine.Returner        = (*node)(nil)
	_ inbox.Events           = (*node)(nil)
	_ inbox.Pacer            = (*resident)(nil)
)
