package component

import (
	"os"
	"path/filepath"

	"github.com/tidegate/tidegate/hack/cluster/config"
	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

// All are the cluster's components, each after those it needs.
func All() []Component {
	const api = "kube-apiserver"
	return []Component{
		{"etcd", nil, etcd, healthy("http://127.0.0.1:2379/health")},
		{"containerd", nil, containerd, listens("containerd/containerd.sock")},
		{api, []string{"etcd"}, apiServer, healthy("https://" + network.Node + ":6443/readyz")},
		{"kubelet", []string{api, "containerd", StepPause}, kubelet, healthy("http://127.0.0.1:10248/healthz")},
		{"kube-controller-manager", []string{api}, controllerManager, healthy("https://127.0.0.1:10257/healthz")},
		{"kube-scheduler", []string{api}, scheduler, healthy("https://127.0.0.1:10259/healthz")},
		{"kube-proxy", []string{api}, proxy, healthy("http://127.0.0.1:10256/healthz")},
		{"coredns", []string{StepAccess}, coreDNS, healthy("http://127.0.0.1:8054/ready")},
		{"redis", nil, redis, redisAnswers},
		{"kafka", nil, kafka, kafkaAnswers},
	}
}

// Steps of the start that are no processes, which components wait for.
const (
	// StepPause has imported the image that every pod needs.
	StepPause = "pause image"
	// StepAccess has given the components without standard rights theirs.
	StepAccess = "access"
)

func etcd(s Setup) process.Spec {
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	return process.Spec{Path: s.program("etcd", "server"), Args: []string{
		"--name=" + config.NodeName, "--data-dir=" + s.Place.Run("etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + config.NodeName + "=" + peer,
		// The cluster does not outlive the machine; a killed process loses nothing.
		"--unsafe-no-fsync",
	}}
}

func redis(s Setup) process.Spec {
	return process.Spec{Path: "redis-server", Args: []string{
		"--bind", network.Node, "127.0.0.1", "--port", "6379", "--protected-mode", "no",
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no", "--dir", s.Place.Run("redis"),
		// Its command line stays what it was: that is how a clean-up knows it when its record is lost.
		"--set-proc-title", "no",
	}}
}

func kafka(s Setup) process.Spec {
	return process.Spec{Path: "java", Args: append(jvm(s), "kafka.Kafka", s.Place.Run("kafka", "kafka.properties"))}
}

// jvm are the arguments of every Java program of Kafka.
func jvm(s Setup) []string {
	return []string{
		"-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + s.Place.Run("kafka", "log4j2.properties"),
		"-cp", filepath.Join(s.Folders["kafka"], "*"),
	}
}

func containerd(s Setup) process.Spec {
	return process.Spec{
		Path: s.program("containerd", "containerd"), Args: []string{"--config=" + s.Place.Run("containerd", "config.toml")},
		// Its shim is found in PATH.
		Env: []string{"PATH=" + s.Path(os.Getenv("PATH"))},
	}
}

func coreDNS(s Setup) process.Spec {
	return process.Spec{Path: s.program("coredns", "coredns"), Args: []string{"-conf", s.Place.Run("Corefile")}}
}

func proxy(s Setup) process.Spec {
	return process.Spec{Path: s.program("kubernetes", "kube-proxy"), Args: []string{"--config=" + s.Place.Run("kube-proxy.yaml")}}
}

func kubelet(s Setup) process.Spec {
	return process.Spec{
		Path: s.program("kubernetes", "kubelet"),
		Args: []string{
			"--config=" + s.Place.Run("kubelet", "config.yaml"), "--kubeconfig=" + s.Place.Run("kubelet.kubeconfig"),
			"--root-dir=" + s.Place.Run("kubelet"), "--hostname-override=" + config.NodeName, "--node-ip=" + network.Node,
		},
		Env: []string{"PATH=" + s.Path(os.Getenv("PATH"))},
	}
}
