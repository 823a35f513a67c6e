// Package webhook is Tidegate's admission: it adds the drain hook to pods, stamps the pods that a scale-in should take,
// judges ScaledObjects, and keeps the certificates for all that.
package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tidegate/tidegate/internal/listen"
)

// Options are the settings of `tidegate webhook`. The kong tags are its flags and environment.
type Options struct {
	Listen      string `name:"webhook-listen" env:"TIDEGATE_WEBHOOK_LISTEN" default:":9443" placeholder:"HOST:PORT" help:"Where the API server's admission reviews are taken, over TLS."`
	AdminListen string `name:"webhook-admin-listen" env:"TIDEGATE_WEBHOOK_ADMIN_LISTEN" default:":9444" placeholder:"HOST:PORT" help:"Where /healthz, /readyz and /metrics are served over plain HTTP."`
	Kubeconfig  string `name:"kubeconfig" env:"TIDEGATE_KUBECONFIG" type:"path" placeholder:"PATH" help:"How to reach the API server from outside a cluster; default is the pod's service account."`

	Balancer        string        `name:"balancer-admin-url" env:"TIDEGATE_BALANCER_ADMIN_URL" default:"http://tidegate-balancer:9091" placeholder:"URL" help:"The balancer's admin port, which knows who has the least to lose."`
	FleetNamespaces []string      `name:"fleet-namespaces" env:"TIDEGATE_FLEET_NAMESPACES" placeholder:"NAME,..." help:"Namespaces whose pods may be injected and stamped; default is the webhook's own, * is all."`
	Actuators       []string      `name:"actuators" env:"TIDEGATE_ACTUATORS" default:"system:serviceaccount:kube-system:horizontal-pod-autoscaler,system:serviceaccount:keda:keda-operator,system:kube-controller-manager" placeholder:"USER,..." help:"Users that may lower replicas; anybody else is reported as a second actuator."`
	SettleTime      time.Duration `name:"settle-time" env:"TIDEGATE_SETTLE_TIME" default:"200ms" help:"How long a scale-in is held after the last stamp, so that it has reached Kubernetes' controllers, 0s to 2s."`
	DryRun          bool          `name:"dry-run" env:"TIDEGATE_WEBHOOK_DRY_RUN" help:"Log what would be injected, stamped and refused, and change nothing but the webhook's own certificates."`

	Namespace     string `name:"webhook-namespace" env:"TIDEGATE_WEBHOOK_NAMESPACE,POD_NAMESPACE" placeholder:"NAME" help:"Namespace of the webhook's Service and of all Secrets."`
	Service       string `name:"webhook-service" env:"TIDEGATE_WEBHOOK_SERVICE" default:"tidegate-webhook" placeholder:"NAME" help:"Service by which the API server reaches the webhook."`
	Secret        string `name:"webhook-secret" env:"TIDEGATE_WEBHOOK_SECRET" default:"tidegate-webhook-tls" placeholder:"NAME" help:"Secret that keeps the webhook's certificate."`
	Configuration string `name:"webhook-configuration" env:"TIDEGATE_WEBHOOK_CONFIGURATION" default:"tidegate" placeholder:"NAME" help:"The mutating and the validating webhook configuration that are told whom to trust."`
	ScalerService string `name:"scaler-service" env:"TIDEGATE_SCALER_SERVICE" default:"tidegate-scaler" placeholder:"NAME" help:"Headless Service by which KEDA reaches the scaler."`
	ScalerSecret  string `name:"scaler-secret" env:"TIDEGATE_SCALER_SECRET" default:"tidegate-scaler-tls" placeholder:"NAME" help:"Secret that keeps the scaler's certificate and the authority of both ends."`
	KEDASecret    string `name:"keda-secret" env:"TIDEGATE_KEDA_SECRET" default:"tidegate-keda-tls" placeholder:"NAME" help:"Secret that keeps the certificate by which KEDA calls the scaler, for TriggerAuthentications."`

	Certificates CertificateOptions `embed:""`
}

// CertificateOptions say how certificates are kept.
type CertificateOptions struct {
	Rotate      bool          `name:"cert-rotation" env:"TIDEGATE_CERT_ROTATION" default:"true" negatable:"" help:"Make and renew the certificates of all Secrets and tell the API server whom to trust. Switch off where cert-manager or somebody else does both."`
	Validity    time.Duration `name:"cert-validity" env:"TIDEGATE_CERT_VALIDITY" default:"8760h" help:"How long a certificate is valid, 1m or more."`
	RenewBefore time.Duration `name:"cert-renew-before" env:"TIDEGATE_CERT_RENEW_BEFORE" default:"2160h" help:"A certificate is renewed when less than this of it is left; at most nine tenths of --cert-validity."`
	Authority   time.Duration `name:"cert-ca-validity" env:"TIDEGATE_CERT_CA_VALIDITY" default:"87600h" help:"How long a certificate authority is valid; at least twice --cert-validity."`
	Interval    time.Duration `name:"cert-check-interval" env:"TIDEGATE_CERT_CHECK_INTERVAL" default:"1m" help:"Time between two looks at certificates and webhook configurations, 1s or more; at most a quarter of --cert-renew-before."`
}

const (
	maxSettle         = 2 * time.Second
	minValidity       = time.Minute
	minInterval       = time.Second
	looksBeforeExpiry = 4
	everyNamespace    = "*"
)

// Validate names every wrong field with its value and the fix.
func (o Options) Validate() error {
	errs := []error{o.forReviews().Check(), o.forOperators().Check(), o.Certificates.validate()}
	if base, err := url.Parse(o.Balancer); err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" {
		errs = append(errs, fmt.Errorf("--balancer-admin-url is %q: write http://host:port", o.Balancer))
	}
	if o.SettleTime < 0 || o.SettleTime > maxSettle {
		errs = append(errs, fmt.Errorf("--settle-time is %s: give a duration from 0s to %s, since the API server waits that long", o.SettleTime, maxSettle))
	}
	for _, n := range o.FleetNamespaces {
		if n != everyNamespace && len(validation.IsDNS1123Label(n)) > 0 {
			errs = append(errs, fmt.Errorf("--fleet-namespaces has %q: write names of namespaces, separated by commas", n))
		}
	}
	if len(o.Actuators) == 0 {
		errs = append(errs, errors.New("--actuators is empty: name the user of the HPA's controller, or every scale-in is reported"))
	}
	named := []struct{ flag, value string }{
		{"--webhook-namespace", o.Namespace}, {"--webhook-service", o.Service}, {"--scaler-service", o.ScalerService},
	}
	for _, n := range named {
		if len(validation.IsDNS1123Label(n.value)) > 0 {
			errs = append(errs, fmt.Errorf("%s is %q: give a name of lower-case letters, digits and hyphens, at most 63", n.flag, n.value))
		}
	}
	objects := []struct{ flag, value string }{
		{"--webhook-secret", o.Secret},
		{"--scaler-secret", o.ScalerSecret},
		{"--keda-secret", o.KEDASecret},
		{"--webhook-configuration", o.Configuration},
	}
	for _, n := range objects {
		if len(validation.IsDNS1123Subdomain(n.value)) > 0 {
			errs = append(errs, fmt.Errorf("%s is %q: give the name of a Kubernetes object", n.flag, n.value))
		}
	}
	if o.Secret == o.ScalerSecret || o.Secret == o.KEDASecret || o.ScalerSecret == o.KEDASecret {
		errs = append(errs, fmt.Errorf("--webhook-secret, --scaler-secret and --keda-secret are %q, %q and %q: they hold different certificates, give three names",
			o.Secret, o.ScalerSecret, o.KEDASecret))
	}
	return errors.Join(errs...)
}

func (o CertificateOptions) validate() error {
	var errs []error
	if o.Validity < minValidity {
		errs = append(errs, fmt.Errorf("--cert-validity is %s: give %s or more", o.Validity, minValidity))
	}
	if most := o.Validity / 10 * 9; o.RenewBefore <= 0 || o.RenewBefore > most {
		errs = append(errs, fmt.Errorf("--cert-renew-before is %s and --cert-validity %s: give more than 0s and at most %s, or every look renews", o.RenewBefore, o.Validity, most))
	}
	if o.Authority < 2*o.Validity {
		errs = append(errs, fmt.Errorf("--cert-ca-validity is %s and --cert-validity %s: give at least %s, so that an authority outlives what it signs", o.Authority, o.Validity, 2*o.Validity))
	}
	if most := o.RenewBefore / looksBeforeExpiry; o.Interval < minInterval || o.Interval > most {
		errs = append(errs, fmt.Errorf("--cert-check-interval is %s and --cert-renew-before %s: give %s to %s, so that several looks fit before a certificate ends", o.Interval, o.RenewBefore, minInterval, most))
	}
	return errors.Join(errs...)
}

// forReviews is where admission reviews are taken.
func (o Options) forReviews() listen.Setting {
	return listen.Setting{Flag: "--webhook-listen", Env: "TIDEGATE_WEBHOOK_LISTEN", Address: o.Listen}
}

// forOperators is where the admin port is.
func (o Options) forOperators() listen.Setting {
	return listen.Setting{Flag: "--webhook-admin-listen", Env: "TIDEGATE_WEBHOOK_ADMIN_LISTEN", Address: o.AdminListen}
}

// serves reports whether the webhook may touch pods of a namespace.
func (o Options) serves(namespace string) bool {
	if len(o.FleetNamespaces) == 0 {
		return namespace == o.Namespace
	}
	return slices.Contains(o.FleetNamespaces, everyNamespace) || slices.Contains(o.FleetNamespaces, namespace)
}

// namespaces are where fleets are, as the API server lists them: the empty name is every namespace.
func (o Options) namespaces() []string {
	switch {
	case len(o.FleetNamespaces) == 0:
		return []string{o.Namespace}
	case slices.Contains(o.FleetNamespaces, everyNamespace):
		return []string{metav1.NamespaceAll}
	default:
		return o.FleetNamespaces
	}
}
