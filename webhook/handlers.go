package webhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/scaledobject"
	"github.com/tidegate/tidegate/webhook/injection"
	"github.com/tidegate/tidegate/webhook/scalein"
	"github.com/tidegate/tidegate/webhook/trigger"
	"github.com/tidegate/tidegate/webhook/victims"
)

func unknown(err error) bool { return errors.Is(err, victims.ErrUnknownFleet) }

// pod injects.
func (s *Server) pod(_ context.Context, r admission.Request) (admission.Response, error) {
	if r.Operation != admissionv1.Create || r.Resource.Group != "" || r.Resource.Resource != "pods" || r.SubResource != "" {
		return admission.Response{}, fmt.Errorf("%s of %.60q: only the creation of pods is injected", r.Operation, r.Resource.Resource)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(r.Object.Raw, &pod); err != nil {
		return admission.Response{}, fmt.Errorf("read the pod: %w", err)
	}
	if !injection.Wanted(&pod) {
		return admission.Allowed(""), nil
	}
	if !s.options.serves(r.Namespace) {
		return admission.Allowed("").WithWarnings(warnings([]string{fmt.Sprintf(
			"pod not injected, since namespace %s has no fleets: add it to --fleet-namespaces of the webhook", r.Namespace)})...), nil
	}
	done := injection.Inject(&pod, draw())
	if s.options.DryRun {
		s.Logger.Info("would inject a pod", slog.String("namespace", r.Namespace), slog.String(logkey.Node, pod.GenerateName+pod.Name),
			slog.Any("patch", done.Patch), slog.Any("warnings", done.Warnings))
		done.Patch = nil
	}
	return admission.Patched("", done.Patch...).WithWarnings(warnings(done.Warnings)...), nil
}

const (
	suffixLength = 5
	// suffixAlphabet is what Kubernetes draws names from.
	suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789"
)

// draw makes what is random in an injection. The nonce guards the drain endpoint, so both come from the system's source,
// which never fails.
func draw() injection.Chance {
	suffix := make([]byte, 0, suffixLength)
	for one := make([]byte, 1); len(suffix) < suffixLength; {
		_, _ = rand.Read(one)
		// Five bits of a byte are drawn again when they point beyond the alphabet, so that each character is as likely.
		if index := int(one[0] & 31); index < len(suffixAlphabet) {
			suffix = append(suffix, suffixAlphabet[index])
		}
	}
	return injection.Chance{Nonce: rand.Text(), Suffix: string(suffix)}
}

// scaleIn stamps. A scale-in is never refused.
func (s *Server) scaleIn(ctx context.Context, r admission.Request) (admission.Response, error) {
	change, err := scalein.Read(&r.AdmissionRequest)
	if err != nil {
		return admission.Response{}, err
	}
	if !change.Lowers() || !s.options.serves(r.Namespace) || r.DryRun != nil && *r.DryRun {
		return admission.Allowed(""), nil
	}
	select {
	case s.stamping <- struct{}{}:
		defer func() { <-s.stamping }()
	default:
		return admission.Response{}, errBusy
	}
	report := s.stamper.Stamp(ctx, change)
	switch {
	case report.Refuted != nil:
		return admission.Response{}, report.Refuted
	case report.Unsure != nil:
		s.doubt(report)
		return admission.Allowed(""), nil
	case report.Deployment != nil:
		return admission.Allowed("").WithWarnings(warnings(s.note(change, report))...), nil
	default:
		return admission.Allowed("").WithWarnings(warnings(s.complain(r.Namespace, report))...), nil
	}
}

// errBusy says that too many scale-ins are under review.
var errBusy = errors.New("too many scale-ins at once, so pods leave in Kubernetes' own order")

// doubt notes a scale-in of what may be a fleet.
func (s *Server) doubt(r scalein.Report) {
	s.meters.doubtful.Inc()
	if s.doubts.first(r.Fleet) {
		s.Logger.Warn("a scale-in was not stamped, since nobody knows whether this is a fleet: label its pods to be injected, or let the balancer answer",
			slog.String(logkey.Fleet, r.Fleet.String()), slog.String("label", keys.LabelInject), slog.Any(logkey.Err, r.Unsure))
	}
}

// complain tells operators of troubles with what could not be read, and so may not exist: no name of it becomes a label.
func (s *Server) complain(namespace string, r scalein.Report) []string {
	notes := make([]string, len(r.Troubles))
	for i, t := range r.Troubles {
		s.meters.troubles.WithLabelValues(fleetUnread, t.Reason).Inc()
		s.Logger.Warn("the right pods cannot be made sure to leave", slog.String("namespace", namespace),
			slog.String(logkey.Reason, t.Reason), slog.String("note", t.Note))
		notes[i] = t.Note
	}
	return notes
}

// note tells operators what a scale-in found and did, and answers what its author should know.
func (s *Server) note(c scalein.Change, r scalein.Report) []string {
	logger := s.Logger.With(slog.String(logkey.Fleet, r.Fleet.String()), slog.Int(logkey.From, c.From), slog.Int(logkey.To, c.To))
	if s.options.DryRun {
		logger.Info("would stamp a scale-in", slog.Any(logkey.Victims, r.Victims), slog.Any("first", r.First),
			slog.Int("unnamed", r.Unnamed), slog.String("user", c.Author))
		return nil
	}
	s.meters.stamped(r.Fleet, r.Set, r.Cleared, r.Held)
	var notes []string
	if c.Set == "" && !slices.Contains(s.options.Actuators, c.Author) {
		s.meters.secondActuators.WithLabelValues(r.Fleet.String()).Inc()
		logger.Warn("a second actuator lowers the replicas of a fleet", slog.String("user", c.Author))
		s.Events.Tell(*r.Deployment, true, "SecondActuator", fmt.Sprintf(
			"replicas go from %d to %d by %s: only the HPA should scale a fleet, or the two will work against each other", c.From, c.To, c.Author))
		notes = append(notes, fmt.Sprintf("fleet %s is scaled by its ScaledObject, which will undo this: change its limits instead", r.Fleet))
	}
	for _, t := range r.Troubles {
		s.meters.troubles.WithLabelValues(r.Fleet.String(), t.Reason).Inc()
		logger.Warn("the right pods cannot be made sure to leave", slog.String(logkey.Reason, t.Reason), slog.String("note", t.Note))
		s.Events.Tell(*r.Deployment, true, t.Reason, t.Note)
		notes = append(notes, t.Note)
	}
	logger.Info("a scale-in was reviewed", slog.Any(logkey.Victims, r.Victims), slog.Any("first", r.First), slog.Int("unnamed", r.Unnamed),
		slog.Int("set", r.Set), slog.Int("cleared", r.Cleared), slog.Duration("held", r.Held), slog.Bool("rollout", r.Rollout), slog.String("user", c.Author))
	if r.Set > 0 {
		s.Events.Tell(*r.Deployment, false, "ScaleInStamped", leavers(r))
	}
	return notes
}

// leavers says who leaves.
func leavers(r scalein.Report) string {
	text := fmt.Sprintf("%d pods leave, with the least to lose: %s", r.Leaving, strings.Join(r.Victims, ", "))
	if len(r.First) > 0 {
		text += "; before them, since they do not serve: " + strings.Join(r.First, ", ")
	}
	return text
}

// scaledObject judges a trigger.
func (s *Server) scaledObject(_ context.Context, r admission.Request) (admission.Response, error) {
	if r.Resource.Group != scaledobject.Resource.Group || r.Resource.Resource != scaledobject.Resource.Resource || r.SubResource != "" {
		return admission.Response{}, fmt.Errorf("%.60q in group %.60q: only scaledobjects are judged", r.Resource.Resource, r.Resource.Group)
	}
	if r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
		return admission.Allowed(""), nil
	}
	verdict, err := trigger.Judge(r.Object.Raw, r.OldObject.Raw)
	if err != nil {
		return admission.Response{}, err
	}
	if verdict.Refusal == nil {
		return admission.Allowed("").WithWarnings(warnings(verdict.Warnings)...), nil
	}
	if s.options.DryRun {
		s.Logger.Info("would refuse a ScaledObject", slog.String(logkey.ScaledObject, r.Namespace+"/"+r.Name), slog.Any(logkey.Err, verdict.Refusal))
		return admission.Allowed(""), nil
	}
	return admission.Denied(verdict.Refusal.Error()).WithWarnings(warnings(verdict.Warnings)...), nil
}
