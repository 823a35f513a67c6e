package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/tidegate/tidegate/balancer/audit"
	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kube"
	"github.com/tidegate/tidegate/internal/listen"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/redisconn"
)

const (
	// readTimeout bounds one whole request; they have no bodies to speak of.
	readTimeout = 5 * time.Second
	// stopTimeout bounds what is still being answered when the process stops.
	stopTimeout = 5 * time.Second
	// persistenceTimeout bounds the one question about persistence at start.
	persistenceTimeout = 2 * time.Second
)

// Run is the balancer process: it serves on the addresses of the options until ctx ends, and returns nil then. It starts
// while Redis or Kafka are away. An error names the option to change.
func Run(ctx context.Context, o Options, logger *slog.Logger) (err error) {
	if err := o.Validate(); err != nil {
		return err
	}
	public, err := o.forClients().Open(ctx)
	if err != nil {
		return err
	}
	admin, err := o.forOperators().Open(ctx)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	client, err := redisconn.Open(o.Redis)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	// Servers close their listeners; until there are servers, a wrong option must.
	b, helpers, err := assemble(ctx, o, client, logger)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	warnOfPersistence(ctx, client, logger)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error { return serve(ctx, public, b.Handler(), logger, "clients") })
	group.Go(func() error { return serve(ctx, admin, b.Admin(), logger, "operators") })
	for _, help := range helpers {
		group.Go(func() error {
			help(ctx)
			return nil
		})
	}
	return group.Wait()
}

// assemble builds the replica that the options describe, and what must run beside it until its context ends.
func assemble(ctx context.Context, o Options, client redis.UniversalClient, logger *slog.Logger) (*Balancer, []func(context.Context), error) {
	rules, err := o.policy()
	if err != nil {
		return nil, nil, err
	}
	if err := o.fits(rules); err != nil {
		return nil, nil, err
	}
	verifier, err := o.Token.Verifier(ctx, time.Now, logger)
	if err != nil {
		return nil, nil, err
	}
	elector, err := o.elector(client, logger)
	if err != nil {
		return nil, nil, err
	}
	watcher, err := o.watcher(rules, logger) //nolint:contextcheck // its events live as long as its Run, whose context ends them
	if err != nil {
		return nil, nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d := Deps{
		Redis: client, Elector: elector, Verifier: verifier, Raw: o.Token.Raw, Registry: registry, Logger: logger,
		Policies: func(fleet.ID) policy.Policy { return rules }, Profile: o.Pprof,
		Shards: o.Shards, Interval: o.Interval, Timeout: o.Redis.Timeout, ProbeTimeout: o.ProbeTimeout,
	}
	var helpers []func(context.Context)
	if watcher != nil {
		d.Facts, d.Events = watcher, watcher
		helpers = append(helpers, watcher.Run)
	}
	if o.Audit {
		record := audit.New(audit.Kafka(o.Kafka, o.Production), registry, logger)
		d.Audit = record
		helpers = append(helpers, record.Run)
	}
	return New(d), helpers, nil //nolint:contextcheck // the feeds live as long as Run, whose context ends them
}

// elector is what --election asks for.
func (o Options) elector(client redis.UniversalClient, logger *slog.Logger) (lead.Elector, error) {
	id, err := o.id()
	if err != nil {
		return nil, err
	}
	if o.Election == electRedis {
		return lead.NewRedis(client, id, o.LeaseDuration, logger), nil
	}
	config, err := kube.Config(o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--election=%s: %w", electKubernetes, err)
	}
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--election=%s: %w", electKubernetes, err)
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.LeaseNamespace, Name: o.LeaseName},
		Client:     leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: id},
	}
	return lead.NewKubernetes(lock, client, o.LeaseDuration, logger), nil
}

// warnOfPersistence says what a restart of this Redis would lose. It does not keep the process from starting.
func warnOfPersistence(ctx context.Context, client redis.UniversalClient, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, persistenceTimeout)
	defer cancel()
	if warning := redisconn.PersistenceWarning(ctx, client); warning != "" {
		logger.Warn("Redis may lose data", slog.String(logkey.Reason, warning))
	}
}

// serve answers on the listener, which it closes, until ctx ends. The page's event streams end with the balancer's Run.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger, whom string) error {
	logger.Info("the balancer serves", slog.String("whom", whom), slog.String(logkey.Addr, listener.Addr().String()))
	serving := listen.Serving{Whom: whom, ReadTimeout: readTimeout, StopTimeout: stopTimeout, Logger: logger}
	return serving.Serve(ctx, listener, handler)
}
