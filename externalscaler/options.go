package externalscaler

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/internal/listen"
)

// Options are the settings of the scaler process.
type Options struct {
	Listen         string        `name:"scaler-listen" env:"TIDEGATE_SCALER_LISTEN" default:":6000" placeholder:"HOST:PORT" help:"Where KEDA's gRPC calls are taken."`
	AdminListen    string        `name:"scaler-admin-listen" env:"TIDEGATE_SCALER_ADMIN_LISTEN" default:":6001" placeholder:"HOST:PORT" help:"Where /healthz, /readyz and /metrics are served over plain HTTP; empty for none."`
	CertFile       string        `name:"tls-cert-file" env:"TIDEGATE_TLS_CERT_FILE" placeholder:"FILE" help:"Server certificate in PEM; read again when the file changes. Without it gRPC is not encrypted."`
	KeyFile        string        `name:"tls-key-file" env:"TIDEGATE_TLS_KEY_FILE" placeholder:"FILE" help:"Private key of the server certificate in PEM."`
	ClientCAFile   string        `name:"client-ca-file" env:"TIDEGATE_CLIENT_CA_FILE" placeholder:"FILE" help:"CA certificates in PEM; callers must then show a client certificate that one of them signed (mTLS)."`
	ConnectionAge  time.Duration `name:"scaler-connection-age" env:"TIDEGATE_SCALER_CONNECTION_AGE" default:"10m" help:"Age at which a connection or a stream is ended cleanly, so that KEDA finds new scaler replicas."`
	MetadataLimits bool          `name:"scaler-metadata-limits" env:"TIDEGATE_SCALER_METADATA_LIMITS" default:"true" negatable:"" help:"Keep answers within minReplicas and maxReplicas of the trigger metadata. Switch off in Kubernetes, where the balancer reads the ScaledObject itself."`

	KubernetesEvents bool   `name:"kubernetes-events" env:"TIDEGATE_KUBERNETES_EVENTS" help:"Make Events on the ScaledObject of answers that fail or change."`
	Kubeconfig       string `name:"kubeconfig" env:"TIDEGATE_KUBECONFIG" type:"path" placeholder:"PATH" help:"How to reach the API server from outside a cluster; default is the pod's service account."`
}

const (
	minConnectionAge = 10 * time.Second
	maxConnectionAge = 24 * time.Hour
)

// DefaultOptions are what the flags default to.
func DefaultOptions() Options {
	return Options{Listen: ":6000", AdminListen: ":6001", ConnectionAge: 10 * time.Minute, MetadataLimits: true}
}

// Validate names every setting that cannot work, with its value and the fix.
func (o Options) Validate() error {
	errs := []error{o.calls().Check()}
	if o.AdminListen != "" {
		errs = append(errs, o.vitals().Check())
	}
	switch {
	case o.CertFile != "" && o.KeyFile == "":
		errs = append(errs, fmt.Errorf("--tls-key-file is empty while --tls-cert-file is %q: give the certificate's private key", o.CertFile))
	case o.CertFile == "" && o.KeyFile != "":
		errs = append(errs, fmt.Errorf("--tls-cert-file is empty while --tls-key-file is %q: give the certificate of that key", o.KeyFile))
	case o.CertFile == "" && o.ClientCAFile != "":
		errs = append(errs, fmt.Errorf("--client-ca-file is %q without --tls-cert-file: client certificates need TLS, give --tls-cert-file and --tls-key-file", o.ClientCAFile))
	}
	if o.ConnectionAge < minConnectionAge || o.ConnectionAge > maxConnectionAge {
		errs = append(errs, fmt.Errorf("--scaler-connection-age is %v: give a duration from %v to %v", o.ConnectionAge, minConnectionAge, maxConnectionAge))
	}
	return errors.Join(errs...)
}

// calls is where gRPC is served.
func (o Options) calls() listen.Setting {
	return listen.Setting{Flag: "--scaler-listen", Env: "TIDEGATE_SCALER_LISTEN", Address: o.Listen}
}

// vitals is where health and metrics are served.
func (o Options) vitals() listen.Setting {
	return listen.Setting{Flag: "--scaler-admin-listen", Env: "TIDEGATE_SCALER_ADMIN_LISTEN", Address: o.AdminListen}
}
