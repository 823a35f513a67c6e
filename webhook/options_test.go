package webhook

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func TestTheDefaultsWork(t *testing.T) {
	var o Options
	parser, err := kong.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"--webhook-namespace=tidegate"}); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	if len(o.Actuators) != 3 || o.Actuators[0] != hpa {
		t.Errorf("the users that may lower replicas are %q", o.Actuators)
	}
	if !o.serves("tidegate") || o.serves("kube-system") {
		t.Error("by default the fleets are in the webhook's own namespace, and nowhere else")
	}
	o.FleetNamespaces = []string{"*"}
	if !o.serves("kube-system") {
		t.Error("* is not every namespace")
	}
}

func TestWrongOptionsAreNamedWithTheFix(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Options)
		says   string
	}{
		{"no port", func(o *Options) { o.Listen = "9443" }, `--webhook-listen is "9443"`},
		{"no admin port", func(o *Options) { o.AdminListen = "" }, `--webhook-admin-listen is ""`},
		{"a balancer without a scheme", func(o *Options) { o.Balancer = "tidegate-balancer:9091" }, "--balancer-admin-url is"},
		{"a balancer without a host", func(o *Options) { o.Balancer = "http://" }, "write http://host:port"},
		{"a negative settle time", func(o *Options) { o.SettleTime = -time.Second }, "--settle-time is -1s"},
		{"a settle time beyond the timeout", func(o *Options) { o.SettleTime = 5 * time.Second }, "give a duration from 0s to 2s"},
		{"a namespace that is none", func(o *Options) { o.FleetNamespaces = []string{"Chat"} }, `--fleet-namespaces has "Chat"`},
		{"no actuators", func(o *Options) { o.Actuators = nil }, "--actuators is empty"},
		{"no namespace", func(o *Options) { o.Namespace = "" }, `--webhook-namespace is ""`},
		{"a service that is none", func(o *Options) { o.Service = "a.b" }, `--webhook-service is "a.b"`},
		{"a scaler's service that is none", func(o *Options) { o.ScalerService = "" }, `--scaler-service is ""`},
		{"a secret that is none", func(o *Options) { o.Secret = "A" }, `--webhook-secret is "A"`},
		{"a configuration that is none", func(o *Options) { o.Configuration = "" }, `--webhook-configuration is ""`},
		{"one secret for two", func(o *Options) { o.ScalerSecret = o.Secret }, "they hold different certificates"},
		{"one secret for both ends", func(o *Options) { o.KEDASecret = o.ScalerSecret }, "give three names"},
		{"a secret of KEDA that is none", func(o *Options) { o.KEDASecret = "" }, `--keda-secret is ""`},
		{"a validity of seconds", func(o *Options) { o.Certificates.Validity = time.Second }, "--cert-validity is 1s"},
		{"renewed before it is made", func(o *Options) { o.Certificates.RenewBefore = o.Certificates.Validity }, "or every look renews"},
		{"never renewed", func(o *Options) { o.Certificates.RenewBefore = 0 }, "--cert-renew-before is 0s"},
		{"an authority that ends first", func(o *Options) { o.Certificates.Authority = o.Certificates.Validity }, "--cert-ca-validity is"},
		{"looks that are too rare", func(o *Options) { o.Certificates.Interval = o.Certificates.RenewBefore }, "--cert-check-interval is"},
		{"looks that are too many", func(o *Options) { o.Certificates.Interval = 0 }, "--cert-check-interval is 0s"},
	}
	for _, c := range cases {
		o := testOptions()
		c.change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want words on %q", c.name, err, c.says)
		}
	}
	o := testOptions()
	o.Certificates = CertificateOptions{Rotate: true, Validity: 2 * time.Minute, RenewBefore: time.Minute, Authority: 4 * time.Minute, Interval: 5 * time.Second}
	if err := o.Validate(); err != nil {
		t.Errorf("certificates of minutes are refused: %v", err)
	}
}
