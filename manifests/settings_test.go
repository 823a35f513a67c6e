package manifests_test

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"

	"github.com/tidegate/tidegate/balancer"
	"github.com/tidegate/tidegate/externalscaler"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/redisconn"
	"github.com/tidegate/tidegate/socket"
	"github.com/tidegate/tidegate/webhook"
)

// processes is the binary's command line as far as pods use it.
type processes struct {
	LogLevel  string `env:"TIDEGATE_LOG_LEVEL"`
	LogFormat string `env:"TIDEGATE_LOG_FORMAT"`

	Socket struct {
		socket.Options `embed:""`
	} `cmd:""`
	Balancer struct {
		balancer.Options `embed:""`
	} `cmd:""`
	Scaler struct {
		Scaler externalscaler.Options `embed:""`
		Redis  redisconn.Options      `embed:""`
	} `cmd:""`
	Webhook struct {
		webhook.Options `embed:""`
	} `cmd:""`
}

func newParser(t *testing.T, p *processes) *kong.Kong {
	t.Helper()
	parser, err := kong.New(p, kong.Name("tidegate"), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	return parser
}

// started are the settings with which a pod of the manifests would start, and what their process says of them.
func started(t *testing.T, o *objects, name string) (p processes, err error) {
	t.Helper()
	c := o.deployment(t, name).Spec.Template.Spec.Containers[0]
	for _, variable := range os.Environ() {
		if key, _, _ := strings.Cut(variable, "="); strings.HasPrefix(key, "TIDEGATE_") || strings.HasPrefix(key, "POD_") {
			t.Setenv(key, "")
			if err := os.Unsetenv(key); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, value := range o.environment(t, c) {
		t.Setenv(key, value)
	}
	if _, err := newParser(t, &p).Parse(c.Args); err != nil {
		return p, fmt.Errorf("read the settings: %w", err)
	}
	switch c.Args[0] {
	case "socket":
		err = p.Socket.Validate()
	case "balancer":
		err = p.Balancer.Validate()
	case "scaler":
		err = p.Scaler.Scaler.Validate()
		if err == nil {
			err = p.Scaler.Redis.Validate()
		}
	case "webhook":
		err = p.Webhook.Validate()
	}
	return p, err
}

// environment is what kubelet gives a container, with example values for what differs by pod.
func (o *objects) environment(t *testing.T, c core.Container) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		maps.Copy(env, o.config(t, from.ConfigMapRef.Name))
	}
	expand := map[string]string{}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = map[string]string{
				"metadata.name": "socket-5d4f8-x2x9z", "metadata.namespace": product, "status.podIP": "10.1.2.3",
			}[e.ValueFrom.FieldRef.FieldPath]
		}
		for key, known := range expand {
			value = strings.ReplaceAll(value, "$("+key+")", known)
		}
		if value == "" || strings.Contains(value, "$(") {
			t.Errorf("variable %s would be %q: what it refers to comes later or nowhere", e.Name, value)
		}
		env[e.Name], expand[e.Name] = value, value
	}
	return env
}

func TestEveryProcessTakesItsSettings(t *testing.T) {
	for name, folder := range roots {
		o := render(t, folder)
		for _, process := range []string{"socket", "tidegate-balancer", "tidegate-scaler", "tidegate-webhook"} {
			t.Run(name+"/"+process, func(t *testing.T) {
				if _, err := started(t, o, process); err != nil {
					t.Errorf("it would end at once with exit code 2: %v", err)
				}
			})
		}
	}
}

// A variable that no process knows is one that was misspelt or renamed: it would be ignored without a word.
func TestEveryVariableIsASettingOfSomeProcess(t *testing.T) {
	known := map[string]bool{keys.EnvPodName: true, keys.EnvPodIP: true, "POD_NAMESPACE": true}
	for _, read := range variables(t) {
		maps.Copy(known, read)
	}
	eachPod(t, func(t root, o *objects, d *apps.Deployment) {
		for _, c := range d.Spec.Template.Spec.Containers {
			for key := range o.environment(t.T, c) {
				if !known[key] {
					t.Errorf("%s: nobody reads %s", d.Name, key)
				}
			}
		}
	})
}

// variables are those that each process reads, by its name; those of all are under "".
func variables(t *testing.T) map[string]map[string]bool {
	t.Helper()
	var p processes
	model := newParser(t, &p).Model
	all := map[string]map[string]bool{}
	for _, node := range append([]*kong.Node{model.Node}, model.Children...) {
		read := map[string]bool{}
		for _, flag := range node.Flags {
			for _, env := range flag.Envs {
				read[env] = true
			}
		}
		name := node.Name
		if node == model.Node {
			name = ""
		}
		all[name] = read
	}
	return all
}

func TestContainerPortsAreWhereTheProcessListens(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		listens := func(deployment, port, address string) {
			t.Helper()
			_, want, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range o.deployment(t.T, deployment).Spec.Template.Spec.Containers[0].Ports {
				if p.Name == port {
					if got := strconv.Itoa(int(p.ContainerPort)); got != want {
						t.Errorf("%s: port %s is %s, the process listens on %s", deployment, port, got, want)
					}
					return
				}
			}
			t.Errorf("%s has no port %s", deployment, port)
		}
		node, err := started(t.T, o, "socket")
		if err != nil {
			t.Fatal(err)
		}
		listens("socket", "public", node.Socket.Addr)
		listens("socket", "admin", node.Socket.Admin)
		brain, err := started(t.T, o, "tidegate-balancer")
		if err != nil {
			t.Fatal(err)
		}
		listens("tidegate-balancer", "public", brain.Balancer.Listen)
		listens("tidegate-balancer", "admin", brain.Balancer.AdminListen)
		scaler, err := started(t.T, o, "tidegate-scaler")
		if err != nil {
			t.Fatal(err)
		}
		listens("tidegate-scaler", "grpc", scaler.Scaler.Scaler.Listen)
		listens("tidegate-scaler", "admin", scaler.Scaler.Scaler.AdminListen)
		hook, err := started(t.T, o, "tidegate-webhook")
		if err != nil {
			t.Fatal(err)
		}
		listens("tidegate-webhook", "admission", hook.Webhook.Listen)
		listens("tidegate-webhook", "admin", hook.Webhook.AdminListen)
		for _, name := range []string{hook.Webhook.Secret, hook.Webhook.ScalerSecret, hook.Webhook.KEDASecret} {
			if o.secret(name) == nil {
				t.Errorf("the webhook fills Secret %s, which is not here, and may create none", name)
			}
		}
		o.service(t.T, hook.Webhook.Service)
		o.service(t.T, hook.Webhook.ScalerService)
		asked, err := url.Parse(hook.Webhook.Balancer)
		if err != nil {
			t.Fatal(err)
		}
		if _, port, _ := net.SplitHostPort(brain.Balancer.AdminListen); asked.Port() != port || o.service(t.T, asked.Hostname()) == nil {
			t.Errorf("the webhook asks %s who leaves", asked)
		}
		if scaler.Scaler.Scaler.MetadataLimits || scaler.Scaler.Scaler.ClientCAFile == "" {
			t.Error("the scaler clamps what the balancer has decided, or lets anybody ask")
		}
		if brain.Balancer.Election != "kubernetes" || brain.Balancer.LeaseNamespace != product {
			t.Errorf("the balancers elect by %s in %q", brain.Balancer.Election, brain.Balancer.LeaseNamespace)
		}
	})
}

func TestADrainEndsBeforeThePodIsKilled(t *testing.T) {
	everywhere(t, func(t root, o *objects) {
		template := o.deployment(t.T, "socket").Spec.Template
		if template.Labels[keys.LabelInject] != "true" {
			t.Fatal("the webhook does not see the nodes")
		}
		p, err := started(t.T, o, "socket")
		if err != nil {
			t.Fatal(err)
		}
		drain := p.Socket.DrainTimeout
		if got := template.Annotations[keys.AnnotationDrainSeconds]; got != strconv.Itoa(int(drain.Seconds())) {
			t.Errorf("the injector is told %s seconds, the node %s", got, drain)
		}
		if grace := time.Duration(*template.Spec.TerminationGracePeriodSeconds) * time.Second; grace < drain+30*time.Second {
			t.Errorf("grace period %s for a drain of %s: the kernel would close what is left", grace, drain)
		}
		port := template.Annotations[keys.AnnotationDrainPort]
		if port != "admin" || template.Annotations[keys.AnnotationDrainPath] != keys.PathDrain {
			t.Errorf("the preStop hook asks port %q for %q", port, template.Annotations[keys.AnnotationDrainPath])
		}
		if template.Annotations[keys.AnnotationContainer] != template.Spec.Containers[0].Name {
			t.Errorf("the injector is told of container %q", template.Annotations[keys.AnnotationContainer])
		}
		service := o.service(t.T, template.Annotations[keys.AnnotationService])
		if service.Spec.ClusterIP != "None" || !service.Spec.PublishNotReadyAddresses {
			t.Error("a node that starts or drains has no name")
		}
		if p.Socket.Fleet.String() != product+"/socket" {
			t.Errorf("the node is of fleet %s", p.Socket.Fleet)
		}
	})
}

// Shards are fixed when the topic is created: too few, and a large fleet cannot share its load out.
func TestThereAreShardsEnoughForTheLargestFleet(t *testing.T) {
	for _, name := range []string{"base", "example"} {
		o := render(t, roots[name])
		p, err := started(t, o, "socket")
		if err != nil {
			t.Fatal(err)
		}
		if most := int(*o.scaled[0].Spec.MaxReplicaCount); p.Socket.Shards < 8*most {
			t.Errorf("%s: %d shards for %d nodes, want 8 a node", name, p.Socket.Shards, most)
		}
		if !p.Socket.Production || p.Socket.Token.Dev {
			t.Errorf("%s: production is %v, dev is %v", name, p.Socket.Production, p.Socket.Token.Dev)
		}
	}
}

func TestFilesThatSettingsNameAreMounted(t *testing.T) {
	read := variables(t)
	eachPod(t, func(t root, o *objects, d *apps.Deployment) {
		c := d.Spec.Template.Spec.Containers[0]
		paths := slices.Concat(c.Command, c.Args)
		for key, value := range o.environment(t.T, c) {
			// Everyone gets every setting, and reads his own.
			if read[c.Name][key] {
				paths = append(paths, value)
			}
		}
		for _, arg := range paths {
			at := strings.Index(arg, "/etc/tidegate/")
			if at < 0 {
				continue
			}
			if problem := o.missing(t.T, d, c, arg[at:]); problem != "" {
				t.Errorf("%s: %s", d.Name, problem)
			}
		}
	})
}

// missing says why a path would not be there; a Secret that somebody else fills may have any key.
func (o *objects) missing(t *testing.T, d *apps.Deployment, c core.Container, path string) string {
	t.Helper()
	for _, mount := range c.VolumeMounts {
		file, inside := strings.CutPrefix(path, mount.MountPath+"/")
		if !inside {
			continue
		}
		volume := d.Spec.Template.Spec.Volumes[slices.IndexFunc(d.Spec.Template.Spec.Volumes, func(v core.Volume) bool { return v.Name == mount.Name })]
		switch {
		case volume.ConfigMap != nil:
			if _, ok := o.config(t, volume.ConfigMap.Name)[file]; !ok {
				return path + " is not in ConfigMap " + volume.ConfigMap.Name
			}
		case volume.Secret != nil:
			if s := o.secret(volume.Secret.SecretName); s != nil && len(s.Data) > 0 && s.Data[file] == nil {
				return path + " is not in Secret " + s.Name
			}
		}
		return ""
	}
	return path + " is in no volume of container " + c.Name
}
