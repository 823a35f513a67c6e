package kube_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/kube"
)

func TestAWayToTheAPIServerThatIsNoneNamesTheFix(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("clusters: 3"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "/no/such/file", broken} {
		if _, err := kube.Config(path); err == nil || !strings.Contains(err.Error(), "--kubeconfig") || !strings.Contains(err.Error(), "service account") {
			t.Errorf("kubeconfig %q: %v, want an error that names both ways", path, err)
		}
	}
}

func TestAKubeconfigIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],` +
		`"clusters":[{"name":"x","cluster":{"server":"https://10.0.0.1:6443"}}],"users":[{"name":"x","user":{"token":"t"}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := kube.Config(path)
	if err != nil || config.Host != "https://10.0.0.1:6443" || !strings.HasPrefix(config.UserAgent, "tidegate/") {
		t.Errorf("config %+v, error %v", config, err)
	}
}
