package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tidegate/tidegate/internal/logkey"
)

// Kept is a Secret whose certificate is kept valid.
type Kept struct {
	Namespace, Secret string
	Subject           Subject
	// Issuer is a Secret of the same namespace, kept before this one, whose authority signs; empty for an authority of its
	// own.
	Issuer string
	// Configuration is the name of the webhook configurations that are told whom to trust; empty for none. The keeper
	// serves the certificate of the Secret that has one.
	Configuration string
}

// Keeper keeps certificates valid. Configure it, then call Run once; Serve is safe for concurrent use at any time.
type Keeper struct {
	Client kubernetes.Interface
	Kept   []Kept
	Terms  Terms
	// Interval is the time between two looks.
	Interval time.Duration
	// Frozen leaves the Secrets to somebody else, as cert-manager, who also tells the API server whom to trust:
	// certificates are served, and never made or announced.
	Frozen bool
	Now    func() time.Time
	// Expiry is told when the certificate of a Secret will expire, at each look.
	Expiry func(secret string, at time.Time)
	Logger *slog.Logger

	serving atomic.Pointer[tls.Certificate]
}

const (
	// lookTimeout bounds one look at everything.
	lookTimeout = 20 * time.Second
	// retryInterval is the time to the next look when one failed; it is at most the interval itself.
	retryInterval = time.Second
	// writes is how often a Secret is tried that another replica writes at the same time.
	writes = 3
)

// Run looks at once and then every interval, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var told string
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next, trouble := k.Interval, ""
		if err := k.Look(ctx); err != nil && ctx.Err() == nil {
			next, trouble = min(retryInterval, k.Interval), err.Error()
			if trouble != told {
				// The same trouble every second would hide every other line.
				k.Logger.Error("certificates cannot be kept", slog.Any(logkey.Err, err))
			}
		}
		told = trouble
		timer.Reset(next)
	}
}

// Look brings every Secret and every configuration up to date once, and serves what it found.
func (k *Keeper) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	errs := make([]error, len(k.Kept))
	for i, kept := range k.Kept {
		errs[i] = k.keep(ctx, kept)
	}
	return errors.Join(errs...)
}

// Serve is what tls.Config.GetCertificate wants: the newest certificate, from memory.
func (k *Keeper) Serve(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := k.serving.Load(); pair != nil {
		return pair, nil
	}
	return nil, errors.New("there is no serving certificate yet")
}

// Ready reports whether there is a certificate to serve that has not expired.
func (k *Keeper) Ready() bool {
	pair := k.serving.Load()
	return pair != nil && k.Now().Before(pair.Leaf.NotAfter)
}

// keep brings one Secret up to date.
func (k *Keeper) keep(ctx context.Context, kept Kept) error {
	b, err := k.renewed(ctx, kept)
	if err != nil {
		return err
	}
	if b.leaf == nil {
		return fmt.Errorf("secret %s/%s holds no certificate with its key", kept.Namespace, kept.Secret)
	}
	k.Expiry(kept.Secret, b.leaf.NotAfter)
	if kept.Configuration == "" {
		return nil
	}
	if !k.Frozen {
		// Callers are told whom to trust before they are shown anything new.
		err = k.announce(ctx, kept, b.trust())
	}
	if shown := k.serving.Load(); shown == nil || !bytes.Equal(shown.Leaf.Raw, b.leaf.Raw) {
		k.serving.Store(b.pair)
		k.Logger.Info("a serving certificate is in use", slog.Time("expires", b.leaf.NotAfter))
	}
	return err
}

// renewed reads a Secret and writes it anew where that is due.
func (k *Keeper) renewed(ctx context.Context, kept Kept) (bundle, error) {
	secrets := k.Client.CoreV1().Secrets(kept.Namespace)
	var lost error
	for range writes {
		secret, err := secrets.Get(ctx, kept.Secret, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return bundle{}, fmt.Errorf("secret %s/%s is missing: create it, empty (the manifests do): %w", kept.Namespace, kept.Secret, err)
		}
		if err != nil {
			return bundle{}, fmt.Errorf("read secret %s/%s: %w", kept.Namespace, kept.Secret, err)
		}
		now := k.Now()
		if k.Frozen {
			return open(secret.Data, now), nil
		}
		data, reason, err := k.due(ctx, kept, secret.Data, now)
		if err != nil {
			return bundle{}, err
		}
		if reason == "" {
			return open(data, now), nil
		}
		if lost = k.write(ctx, secret, data); lost == nil {
			k.Logger.Info("a certificate was renewed", slog.String("secret", kept.Secret), slog.String(logkey.Reason, reason))
			return open(data, now), nil
		}
		if !apierrors.IsConflict(lost) {
			break
		}
	}
	return bundle{}, fmt.Errorf("write secret %s/%s: %w", kept.Namespace, kept.Secret, lost)
}

// due answers what a Secret should hold and why that is something else than it does.
func (k *Keeper) due(ctx context.Context, kept Kept, data map[string][]byte, now time.Time) (map[string][]byte, string, error) {
	if kept.Issuer == "" {
		return Renew(data, kept.Subject, k.Terms, now)
	}
	issuer, err := k.Client.CoreV1().Secrets(kept.Namespace).Get(ctx, kept.Issuer, metav1.GetOptions{})
	if err != nil {
		return nil, "", fmt.Errorf("read secret %s/%s, which issues %s: %w", kept.Namespace, kept.Issuer, kept.Secret, err)
	}
	return Issue(data, issuer.Data, kept.Subject, k.Terms, now)
}

// write replaces what was read, and nothing newer.
func (k *Keeper) write(ctx context.Context, secret *corev1.Secret, data map[string][]byte) error {
	secret.Data = data
	_, err := k.Client.CoreV1().Secrets(secret.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
	return err
}
