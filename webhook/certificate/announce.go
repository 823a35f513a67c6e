package certificate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// announce tells both webhook configurations of that name whom to trust.
func (k *Keeper) announce(ctx context.Context, name string, trust []byte) error {
	return errors.Join(k.announceMutating(ctx, name, trust), k.announceValidating(ctx, name, trust))
}

func (k *Keeper) announceMutating(ctx context.Context, name string, trust []byte) error {
	registered := k.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := registered.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read MutatingWebhookConfiguration %s: %w", name, err)
	}
	hooks := make([]hook, len(configuration.Webhooks))
	for i, w := range configuration.Webhooks {
		hooks[i] = hook{w.Name, w.ClientConfig}
	}
	patch, err := mend(hooks, trust)
	if err == nil && patch != nil {
		_, err = registered.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		return fmt.Errorf("announce the authority to MutatingWebhookConfiguration %s: %w", name, err)
	}
	return nil
}

func (k *Keeper) announceValidating(ctx context.Context, name string, trust []byte) error {
	registered := k.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	configuration, err := registered.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read ValidatingWebhookConfiguration %s: %w", name, err)
	}
	hooks := make([]hook, len(configuration.Webhooks))
	for i, w := range configuration.Webhooks {
		hooks[i] = hook{w.Name, w.ClientConfig}
	}
	patch, err := mend(hooks, trust)
	if err == nil && patch != nil {
		_, err = registered.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		return fmt.Errorf("announce the authority to ValidatingWebhookConfiguration %s: %w", name, err)
	}
	return nil
}

// hook is what the two kinds of webhooks have in common.
type hook struct {
	name   string
	client admission.WebhookClientConfig
}

// mend is the patch that makes every hook trust exactly the authorities; nil when all do. It first tests that each hook is
// still where it was.
func mend(hooks []hook, trust []byte) ([]byte, error) {
	var operations []map[string]any
	for i, h := range hooks {
		if bytes.Equal(h.client.CABundle, trust) {
			continue
		}
		at := fmt.Sprintf("/webhooks/%d/", i)
		operations = append(operations,
			map[string]any{"op": "test", "path": at + "name", "value": h.name},
			map[string]any{"op": "add", "path": at + "clientConfig/caBundle", "value": trust})
	}
	if len(operations) == 0 {
		return nil, nil
	}
	return json.Marshal(operations)
}
