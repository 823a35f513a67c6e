package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/kube"
	"github.com/tidegate/tidegate/internal/listen"
	"github.com/tidegate/tidegate/webhook/census"
	"github.com/tidegate/tidegate/webhook/certificate"
	"github.com/tidegate/tidegate/webhook/refresh"
	"github.com/tidegate/tidegate/webhook/stamp"
	"github.com/tidegate/tidegate/webhook/victims"
)

const (
	// readTimeout bounds a whole review, which may have megabytes.
	readTimeout = 10 * time.Second
	idleTimeout = 2 * time.Minute
	// stopTimeout bounds what is still being reviewed when the process stops: a review may hold until its deadline.
	stopTimeout = deadline + time.Second
	// requestTimeout bounds one request to the API server.
	requestTimeout = 10 * time.Second
)

// Run is the webhook process: it takes reviews on the addresses of the options until ctx ends, and returns nil then. It
// starts while the API server or the balancer are away. An error names the option to change.
func Run(ctx context.Context, o Options, logger *slog.Logger) error {
	if err := o.Validate(); err != nil {
		return err
	}
	client, objects, err := o.clients()
	if err != nil {
		return err
	}
	reviews, err := o.forReviews().Open(ctx)
	if err != nil {
		return err
	}
	operators, err := o.forOperators().Open(ctx)
	if err != nil {
		return errors.Join(err, reviews.Close())
	}
	return run(ctx, o, client, objects, reviews, operators, logger)
}

// run serves on the listeners, which it closes.
func run(ctx context.Context, o Options, client kubernetes.Interface, objects dynamic.Interface, reviews, operators net.Listener, logger *slog.Logger) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	events := kube.NewEvents(ctx, client.CoreV1(), stamp.FieldManager)
	defer events.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: patchesAtOnce, IdleConnTimeout: idleTimeout}
	defer transport.CloseIdleConnections()
	server := New(o, Parts{
		Client: client, Order: victims.NewClient(o.Balancer, transport), Events: events, Registry: registry,
		Now: time.Now, Wait: wait, Logger: logger,
	})
	keeper := o.keeper(client, server.meters, logger)
	refresher := &refresh.Refresher{Client: objects, Namespaces: o.namespaces(), Logger: logger}
	count := &census.Census{
		Client: client, Namespaces: o.namespaces(), Count: server.meters.lacks, Events: o.heard(events), Logger: logger,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		keeper.Run(ctx)
		return nil
	})
	group.Go(func() error {
		count.Run(ctx)
		return nil
	})
	group.Go(func() error {
		refresher.Run(ctx)
		return nil
	})
	group.Go(func() error {
		secure := tls.NewListener(reviews, &tls.Config{
			GetCertificate: keeper.Serve, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		})
		return serve(ctx, secure, server.Handler(), logger, "reviews")
	})
	group.Go(func() error { return serve(ctx, operators, admin(registry, keeper.Ready), logger, "operators") })
	return group.Wait()
}

// heard are the Events that a dry run does not write: it injects nobody, and that is known.
func (o Options) heard(events Events) Events {
	if o.DryRun {
		return unheard{}
	}
	return events
}

type unheard struct{}

func (unheard) Tell(corev1.ObjectReference, bool, string, string) {}

// patchesAtOnce is how many connections to the balancer are kept open: as many as may ask at once.
const patchesAtOnce = 8

// clients reach the API server.
func (o Options) clients() (kubernetes.Interface, dynamic.Interface, error) {
	config, err := kube.Config(o.Kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	config.Timeout = requestTimeout
	// A scale-in must not wait in a queue of our own: the API server has its own fairness.
	config.QPS = -1
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the API server: %w", err)
	}
	// ScaledObjects have no other form than JSON; pods are several times cheaper in this one.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the API server: %w", err)
	}
	return client, objects, nil
}

// kedaName is the name of KEDA's certificate. The scaler asks who signed it and not for a name.
const kedaName = "tidegate-keda"

// keeper keeps all Secrets.
func (o Options) keeper(client kubernetes.Interface, m *meters, logger *slog.Logger) *certificate.Keeper {
	server, caller := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	webhookName, webhookOthers := serviceNames(o.Service, o.Namespace)
	scalerName, scalerOthers := serviceNames(o.ScalerService, o.Namespace)
	for _, name := range append([]string{scalerName}, scalerOthers...) {
		// The pods behind a headless Service have names below it.
		if name != o.ScalerService {
			scalerOthers = append(scalerOthers, "*."+name)
		}
	}
	return &certificate.Keeper{
		Client: client,
		Kept: []certificate.Kept{
			{
				Namespace: o.Namespace, Secret: o.Secret, Configuration: o.Configuration,
				Subject: certificate.Subject{Name: webhookName, Others: webhookOthers, Usages: []x509.ExtKeyUsage{server}},
			},
			{
				Namespace: o.Namespace, Secret: o.ScalerSecret,
				Subject: certificate.Subject{Name: scalerName, Others: scalerOthers, Usages: []x509.ExtKeyUsage{server}},
			},
			{
				// TriggerAuthentications need it in every namespace with fleets: whoever reads it there may ask the scaler, and
				// cannot be taken for it.
				Namespace: o.Namespace, Secret: o.KEDASecret, Issuer: o.ScalerSecret,
				Subject: certificate.Subject{Name: kedaName, Usages: []x509.ExtKeyUsage{caller}},
			},
		},
		Terms: certificate.Terms{
			Validity: o.Certificates.Validity, RenewBefore: o.Certificates.RenewBefore, Authority: o.Certificates.Authority,
		},
		Interval: o.Certificates.Interval, Frozen: !o.Certificates.Rotate, Now: time.Now, Expiry: m.expires, Logger: logger,
	}
}

// serviceNames are the names under which a Service is called, that which the API server uses first.
func serviceNames(service, namespace string) (first string, others []string) {
	qualified := service + "." + namespace
	return qualified + ".svc", []string{qualified + ".svc.cluster.local", qualified, service}
}

// wait returns after the time or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// admin serves the probes and metrics. A webhook without a certificate takes no reviews.
func admin(registry *prometheus.Registry, ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+keys.PathHealth, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+keys.PathReady, func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "there is no serving certificate: see the log", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	mux.Handle("GET "+keys.PathMetrics, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// serve serves on a listener, which it closes, until ctx ends; reviews under way are then answered.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger, whom string) error {
	serving := listen.Serving{Whom: whom, ReadTimeout: readTimeout, StopTimeout: stopTimeout, Logger: logger}
	return serving.Serve(ctx, listener, handler)
}
