package certificate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// registered are the webhook configurations of one kind.
type registered struct {
	kind string
	// read answers the hooks of a configuration and its version.
	read func(ctx context.Context, name string) ([]hook, string, error)
	// patch changes it by a JSON patch.
	patch func(ctx context.Context, name string, patch []byte) error
}

// configurations are both kinds.
func (k *Keeper) configurations() []registered {
	mutating := k.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	validating := k.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	return []registered{
		{
			kind: "MutatingWebhookConfiguration",
			read: func(ctx context.Context, name string) ([]hook, string, error) {
				found, err := mutating.Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return nil, "", err
				}
				return hooksOf(found.Webhooks, func(w admission.MutatingWebhook) hook { return hook{w.Name, w.ClientConfig} }), found.ResourceVersion, nil
			},
			patch: func(ctx context.Context, name string, patch []byte) error {
				_, err := mutating.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
				return err
			},
		},
		{
			kind: "ValidatingWebhookConfiguration",
			read: func(ctx context.Context, name string) ([]hook, string, error) {
				found, err := validating.Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return nil, "", err
				}
				return hooksOf(found.Webhooks, func(w admission.ValidatingWebhook) hook { return hook{w.Name, w.ClientConfig} }), found.ResourceVersion, nil
			},
			patch: func(ctx context.Context, name string, patch []byte) error {
				_, err := validating.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
				return err
			},
		},
	}
}

// hooksOf takes from webhooks of either kind what they have in common.
func hooksOf[W any](webhooks []W, of func(W) hook) []hook {
	hooks := make([]hook, len(webhooks))
	for i, w := range webhooks {
		hooks[i] = of(w)
	}
	return hooks
}

// announce tells both webhook configurations of a Secret whom to trust.
func (k *Keeper) announce(ctx context.Context, kept Kept, trust []byte) error {
	configurations := k.configurations()
	errs := make([]error, len(configurations))
	for i, r := range configurations {
		errs[i] = k.announceTo(ctx, r, kept, trust)
	}
	return errors.Join(errs...)
}

// announceTo tells one configuration. Another replica may have made a newer authority since the Secret was read, and told of
// it already: an older word must not follow the newer one. So the Secret is read again after the configuration was, and the
// configuration is changed only in the version that was read.
func (k *Keeper) announceTo(ctx context.Context, r registered, kept Kept, trust []byte) error {
	name := kept.Configuration
	hooks, version, err := r.read(ctx, name)
	if err != nil {
		return fmt.Errorf("read %s %s: %w", r.kind, name, err)
	}
	if !slices.ContainsFunc(hooks, func(h hook) bool { return !bytes.Equal(h.client.CABundle, trust) }) {
		return nil
	}
	secret, err := k.Client.CoreV1().Secrets(kept.Namespace).Get(ctx, kept.Secret, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read secret %s/%s again: %w", kept.Namespace, kept.Secret, err)
	}
	newest := open(secret.Data, k.Now()).trust()
	if len(newest) == 0 {
		return fmt.Errorf("secret %s/%s holds no authority: %s %s keeps the ones it has", kept.Namespace, kept.Secret, r.kind, name)
	}
	patch, err := mend(hooks, version, newest)
	if err == nil && patch != nil {
		err = r.patch(ctx, name, patch)
	}
	if err != nil {
		return fmt.Errorf("announce the authority to %s %s: %w", r.kind, name, err)
	}
	return nil
}

// hook is what the two kinds of webhooks have in common.
type hook struct {
	name   string
	client admission.WebhookClientConfig
}

// mend is the patch that makes every hook trust exactly the authorities; nil when all do. It first tests that the
// configuration is still of the version that was read, and each hook where it was.
func mend(hooks []hook, version string, trust []byte) ([]byte, error) {
	var operations []map[string]any
	if version != "" {
		operations = append(operations, map[string]any{"op": "test", "path": "/metadata/resourceVersion", "value": version})
	}
	tests := len(operations)
	for i, h := range hooks {
		if bytes.Equal(h.client.CABundle, trust) {
			continue
		}
		at := fmt.Sprintf("/webhooks/%d/", i)
		operations = append(operations,
			map[string]any{"op": "test", "path": at + "name", "value": h.name},
			map[string]any{"op": "add", "path": at + "clientConfig/caBundle", "value": trust})
	}
	if len(operations) == tests {
		return nil, nil
	}
	return json.Marshal(operations)
}
