//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mint signs a client's token.
func mint(secret []byte, id string) (string, error) {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: id, ExpiresAt: jwt.NewNumericDate(time.Now().Add(24 * time.Hour)),
	}).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("sign a client token: %w", err)
	}
	return signed, nil
}

// signer makes client tokens. The balancer's Deployment says in which Secret their key is; in dev mode clients are
// believed without one.
func (c *cluster) signer(t *testing.T) func(id string) (string, error) {
	t.Helper()
	d, err := c.kube.AppsV1().Deployments(namespace).Get(t.Context(), balancerName, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("find the secret of client tokens: %v", err)
	}
	settings := c.settings(t, d)
	if settings["TIDEGATE_DEV"] == "true" {
		return func(string) (string, error) { return "", nil }
	}
	path := tokenFile(d, settings)
	for _, v := range d.Spec.Template.Spec.Volumes {
		for _, name := range secretNames(v) {
			s, err := c.kube.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				continue
			}
			if body, ok := s.Data[filepath.Base(path)]; ok {
				secret := []byte(strings.TrimSpace(string(body)))
				return func(id string) (string, error) { return mint(secret, id) }
			}
		}
	}
	t.Fatalf("no Secret of %s holds %q", balancerName, path)
	return nil
}

// settings are the values of the ConfigMaps that a Deployment takes its environment from.
func (c *cluster) settings(t *testing.T, d *appsv1.Deployment) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, from := range container.EnvFrom {
			if from.ConfigMapRef == nil {
				continue
			}
			m, err := c.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), from.ConfigMapRef.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatalf("read ConfigMap %s: %v", from.ConfigMapRef.Name, err)
			}
			for key, value := range m.Data {
				out[key] = value
			}
		}
	}
	return out
}

const tokenEnv, tokenFlag = "TIDEGATE_JWT_SECRET_FILE", "--jwt-secret-file="

func tokenFile(d *appsv1.Deployment, settings map[string]string) string {
	path := settings[tokenEnv]
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, env := range container.Env {
			if env.Name == tokenEnv {
				path = env.Value
			}
		}
		for _, arg := range container.Args {
			if value, ok := strings.CutPrefix(arg, tokenFlag); ok {
				path = value
			}
		}
	}
	return path
}

func secretNames(v corev1.Volume) []string {
	var names []string
	if v.Secret != nil {
		names = append(names, v.Secret.SecretName)
	}
	if v.Projected != nil {
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}
