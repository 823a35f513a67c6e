// Package config writes the components' configuration files and credentials into the running cluster's folder.
package config

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/pki"
)

// NodeName is the name of the only node.
const NodeName = "node0"

// Pause is the image that holds a pod's namespaces.
const Pause = "docker.io/local/pause:1"

//go:embed templates
var templates embed.FS

// values are what the templates may use.
type values struct {
	Run, Name, Node, NodeName, PodNetwork, Pause string
	// User is the identity a kubeconfig is for.
	User string
}

func newValues(run string) values {
	return values{Run: run, Name: network.Namespace, Node: network.Node, NodeName: NodeName, PodNetwork: network.PodNetwork, Pause: Pause}
}

// files maps each file to its template.
var files = map[string]string{
	"containerd/config.toml":  "containerd.toml",
	"cni/10-pods.conflist":    "cni.conflist",
	"kubelet/config.yaml":     "kubelet.yaml",
	"kube-proxy.yaml":         "kube-proxy.yaml",
	"Corefile":                "Corefile",
	"audit.yaml":              "audit.yaml",
	"kafka/kafka.properties":  "kafka.properties",
	"kafka/log4j2.properties": "log4j2.properties",
	"resolv.conf":             "resolv.conf",
	"access.yaml":             "access.yaml",
}

// identity is a user of the API server and the kubeconfig that holds it.
type identity struct {
	subject pki.Subject
	file    string
}

// identities are the components' own, each with the rights that Kubernetes gives to its name.
var identities = []identity{
	{pki.Subject{Name: "admin", Groups: []string{"system:masters"}}, "kubeconfig"},
	{pki.Subject{Name: "system:kube-controller-manager"}, "kube-controller-manager.kubeconfig"},
	{pki.Subject{Name: "system:kube-scheduler"}, "kube-scheduler.kubeconfig"},
	{pki.Subject{Name: "system:kube-proxy"}, "kube-proxy.kubeconfig"},
	{pki.Subject{Name: "system:coredns"}, "coredns.kubeconfig"},
	{pki.Subject{Name: "system:node:" + NodeName, Groups: []string{"system:nodes"}}, "kubelet.kubeconfig"},
}

// Render fills in one template.
func Render(name string, v any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// Write makes every file under run, for a cluster that starts anew.
func Write(run string, now time.Time) error {
	v := newValues(run)
	for file, name := range files {
		if err := put(filepath.Join(run, file), name, v); err != nil {
			return err
		}
	}
	for _, one := range identities {
		v.User = one.subject.Name
		if err := put(filepath.Join(run, one.file), "kubeconfig", v); err != nil {
			return err
		}
	}
	return credentials(filepath.Join(run, "pki"), now)
}

func put(file, name string, v values) error {
	text, err := Render(name, v)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644)); err != nil { //nolint:gosec // whoever uses the cluster reads these
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// credentials makes the cluster's authorities, servers' certificates and users.
func credentials(dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the keys in it are not readable for others
		return fmt.Errorf("make the folder of certificates: %w", err)
	}
	ca, errCA := pki.NewAuthority("kubernetes", "tidegate", now)
	front, errFront := pki.NewAuthority("front-proxy", "tidegate", now)
	private, public, errKey := pki.SigningKey()
	if err := errors.Join(errCA, errFront, errKey); err != nil {
		return err
	}
	problems := []error{
		ca.Save(dir, "ca"), front.Save(dir, "front-ca"),
		os.WriteFile(filepath.Join(dir, "service-accounts.key"), private, 0o600),
		os.WriteFile(filepath.Join(dir, "service-accounts.pub"), public, 0o600),
		issue(front, pki.Subject{Name: "front-proxy-client"}, dir, "front-proxy", now),
		// The API server reaches into pods (exec, logs) as an administrator of the kubelet.
		issue(ca, pki.Subject{Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}}, dir, "kubelet-client", now),
		issue(ca, pki.Subject{Name: NodeName, DNS: []string{NodeName}, IPs: []string{network.Node, "127.0.0.1"}}, dir, "kubelet-server", now),
		issue(ca, pki.Subject{
			Name: "kube-apiserver",
			DNS:  []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
			IPs:  []string{"127.0.0.1", network.Kubernetes, network.Node},
		}, dir, "apiserver", now),
	}
	for _, one := range identities {
		problems = append(problems, issue(ca, one.subject, dir, one.subject.Name, now))
	}
	return errors.Join(problems...)
}

func issue(by *pki.Authority, subject pki.Subject, dir, name string, now time.Time) error {
	pair, err := by.Issue(subject, now)
	if err != nil {
		return err
	}
	return pair.Save(dir, name)
}
