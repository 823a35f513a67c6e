package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/webhook/scalein"
	"github.com/tidegate/tidegate/webhook/stamp"
)

// The paths of the admission reviews.
const (
	PathPods          = "/mutate-pod"
	PathStamp         = "/stamp"
	PathScaledObjects = "/validate-scaledobject"
)

// deadline bounds one review, so that an answer is there before the API server's 5 s have passed.
const deadline = 4 * time.Second

// Events writes Events on Kubernetes objects. It does not block.
type Events interface {
	Tell(about corev1.ObjectReference, warning bool, reason, message string)
}

// Parts are what the handlers need of the outside.
type Parts struct {
	Client   kubernetes.Interface
	Order    scalein.Order
	Events   Events
	Registry *prometheus.Registry
	Now      func() time.Time
	Wait     func(ctx context.Context, d time.Duration)
	Logger   *slog.Logger
}

// Server answers admission reviews. It is safe for concurrent use.
type Server struct {
	options Options
	Parts
	stamper *scalein.Stamper
	meters  *meters
	// stamping holds one entry a scale-in under review, so that no flood of reviews fills the memory with pods.
	stamping chan struct{}
	doubts   *doubts
}

// maxStamping is how many scale-ins are reviewed at once. Kubernetes' own controllers ask for ten at most.
const maxStamping = 64

// New makes a server; Run is what a process wants.
func New(o Options, p Parts) *Server {
	s := &Server{
		options: o, Parts: p, meters: newMeters(p.Registry),
		stamping: make(chan struct{}, maxStamping), doubts: newDoubts(p.Now),
	}
	s.stamper = &scalein.Stamper{
		Client: p.Client, Carrier: stamp.Annotation{Pods: p.Client.CoreV1()}, Order: counted{p.Order, s.meters.balancerErrors},
		Settle: o.SettleTime, DryRun: o.DryRun, Now: p.Now, Wait: p.Wait,
	}
	return s
}

// Handler serves the reviews.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+PathPods, s.reviews("pods", s.pod))
	mux.Handle("POST "+PathStamp, s.reviews("scale-in", s.scaleIn))
	mux.Handle("POST "+PathScaledObjects, s.reviews("scaledobjects", s.scaledObject))
	return mux
}

// The values of the result label.
const (
	resultAllowed    = "allowed"
	resultWarned     = "warned"
	resultDenied     = "denied"
	resultUnreadable = "unreadable"
	resultRefuted    = "refuted"
	resultBusy       = "busy"
	resultPanic      = "panic"
)

// reviews wraps a handler in what all share: a deadline, metrics, and rule 9. Whatever goes wrong in it, the request that
// is reviewed goes through with a warning, since a review that failed says nothing against it. A review that cannot be
// read at all has no id to answer to, and the API server's failurePolicy lets its request through.
func (s *Server) reviews(name string, handle func(context.Context, admission.Request) (admission.Response, error)) http.Handler {
	return &admission.Webhook{
		Handler: admission.HandlerFunc(func(ctx context.Context, r admission.Request) (answer admission.Response) {
			ctx, cancel := context.WithTimeout(ctx, deadline)
			defer cancel()
			start, result := s.Now(), ""
			defer func() {
				if fault := recover(); fault != nil {
					s.Logger.Error("a review panicked and was let through", slog.String("handler", name),
						slog.Any(logkey.Err, fault), slog.String(logkey.Stack, string(debug.Stack())))
					answer, result = letThrough(fmt.Sprintf("the Tidegate webhook failed inside: %.100v", fault)), resultPanic
				}
				s.meters.admissions.WithLabelValues(name, result).Inc()
				s.meters.seconds.WithLabelValues(name).Observe(s.Now().Sub(start).Seconds())
			}()
			answer, err := handle(ctx, r)
			switch {
			case err == nil:
				result = resultOf(answer)
				return answer
			case errors.Is(err, errBusy):
				// A line each would be a flood of its own.
				result = resultBusy
			case errors.Is(err, scalein.ErrRefuted):
				s.Logger.Warn("a review that does not agree with the cluster was let through", slog.String("handler", name), slog.Any(logkey.Err, err))
				result = resultRefuted
			default:
				s.Logger.Warn("a review cannot be read and was let through", slog.String("handler", name), slog.Any(logkey.Err, err))
				result = resultUnreadable
			}
			return letThrough(err.Error())
		}),
		LogConstructor: func(logr.Logger, *admission.Request) logr.Logger { return logr.FromSlogHandler(s.Logger.Handler()) },
	}
}

func resultOf(answer admission.Response) string {
	switch {
	case !answer.Allowed:
		return resultDenied
	case len(answer.Warnings) > 0:
		return resultWarned
	default:
		return resultAllowed
	}
}

func letThrough(why string) admission.Response {
	return admission.Allowed("").WithWarnings(short("tidegate: " + why))
}

// maxWarning is what clients show of one warning.
const maxWarning = 256

// short makes a text one line, which is all that a warning may have, and cuts it to what is shown, at a whole character.
func short(text string) string {
	text = strings.ReplaceAll(text, "\n", "; ")
	if len(text) <= maxWarning {
		return text
	}
	const ellipsis = "…"
	cut := maxWarning - len(ellipsis)
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return text[:cut] + ellipsis
}

// warnings names who warns and cuts each to what is shown.
func warnings(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = short("tidegate: " + text)
	}
	return out
}

// counted counts the questions that the balancer leaves open.
type counted struct {
	balancer scalein.Order
	errors   prometheus.Counter
}

// Order asks and counts.
func (c counted) Order(ctx context.Context, id fleet.ID) ([]string, error) {
	names, err := c.balancer.Order(ctx, id)
	if err != nil && !unknown(err) {
		c.errors.Inc()
	}
	return names, err
}
