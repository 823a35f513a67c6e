package component

import (
	"github.com/tidegate/tidegate/hack/cluster/network"
	"github.com/tidegate/tidegate/hack/cluster/process"
)

func apiServer(s Setup) process.Spec {
	pki := func(name string) string { return s.Place.Run("pki", name) }
	return process.Spec{Path: s.program("kubernetes", "kube-apiserver"), Args: append([]string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0", "--advertise-address=" + network.Node, "--secure-port=6443",
		"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"), "--client-ca-file=" + pki("ca.crt"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--service-cluster-ip-range=" + network.ServiceNetwork,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + pki("service-accounts.pub"), "--service-account-signing-key-file=" + pki("service-accounts.key"),
		"--kubelet-client-certificate=" + pki("kubelet-client.crt"), "--kubelet-client-key=" + pki("kubelet-client.key"),
		"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		// The aggregator, through which KEDA serves its metrics.
		"--requestheader-client-ca-file=" + pki("front-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + pki("front-proxy.crt"), "--proxy-client-key-file=" + pki("front-proxy.key"),
		// Written before the answer is sent: a test that saw a change finds it in the log.
		"--audit-policy-file=" + s.Place.Run("audit.yaml"), "--audit-log-path=" + s.Place.Log("audit"), "--audit-log-mode=blocking", "--audit-log-maxsize=1000",
	}, s.Profile.flags()...)}
}

func controllerManager(s Setup) process.Spec {
	return process.Spec{Path: s.program("kubernetes", "kube-controller-manager"), Args: append([]string{
		"--kubeconfig=" + s.Place.Run("kube-controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + s.Place.Run("kube-controller-manager.kubeconfig"),
		"--authorization-kubeconfig=" + s.Place.Run("kube-controller-manager.kubeconfig"),
		"--bind-address=127.0.0.1", "--leader-elect=false",
		"--root-ca-file=" + s.Place.Run("pki", "ca.crt"),
		"--service-account-private-key-file=" + s.Place.Run("pki", "service-accounts.key"),
		// Many fleets that decide at once wait for each other at the defaults: 20 requests a second, five HPAs at a time.
		"--kube-api-qps=200", "--kube-api-burst=400", "--concurrent-horizontal-pod-autoscaler-syncs=20",
		// Each controller has its own name, so that the audit log tells the HPA from the others.
		"--use-service-account-credentials",
	}, s.Profile.flags()...)}
}

func scheduler(s Setup) process.Spec {
	file := s.Place.Run("kube-scheduler.kubeconfig")
	return process.Spec{Path: s.program("kubernetes", "kube-scheduler"), Args: append([]string{
		"--kubeconfig=" + file, "--authentication-kubeconfig=" + file, "--authorization-kubeconfig=" + file,
		"--bind-address=127.0.0.1", "--leader-elect=false",
	}, s.Profile.emulation()...)}
}

// flags are those of the API server and of the controller manager. The gate is locked on from 1.37, hence the emulation.
func (p Profile) flags() []string {
	if p == NoTolerance {
		return append(p.emulation(), "--feature-gates=HPAConfigurableTolerance=false")
	}
	return nil
}

// emulation is for the scheduler too: it waits for ever for kinds that an older API server does not have.
func (p Profile) emulation() []string {
	if p == NoTolerance {
		return []string{"--emulated-version=1.36"}
	}
	return nil
}
