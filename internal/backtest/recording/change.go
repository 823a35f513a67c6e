package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/balancer/policy"
)

// Override makes the policy to try out of the recorded one.
type Override func(recorded policy.Policy) (policy.Policy, error)

// Change is the override that a user asks for: the settings of a policy file (nil is none), and over them single ones, each
// written as "name=value" with the name of a trigger's or a file's setting. What neither names stays as it was recorded. A
// setting that no policy can have is an error of the override.
func Change(policyFile io.Reader, set []string) (Override, error) {
	values := make(map[string]string, len(set))
	for _, pair := range set {
		name, value, found := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !found || name == "" {
			return nil, fmt.Errorf("--set %q: write name=value, as in --set cpuCeiling=0.8", pair)
		}
		values[name] = strings.TrimSpace(value)
	}
	var file []byte
	if policyFile != nil {
		var err error
		if file, err = io.ReadAll(policyFile); err != nil {
			return nil, fmt.Errorf("policy file: %w", err)
		}
	}
	change := func(p policy.Policy) (policy.Policy, error) {
		var err error
		if file != nil {
			if p, err = policy.Load(bytes.NewReader(file), p); err != nil {
				return p, err
			}
		}
		if p, err = p.Assign(values); err != nil {
			return p, fmt.Errorf("--set: %w", err)
		}
		return p, nil
	}
	return change, nil
}

// Differences names what the second policy has otherwise than the first, as "name 1 -> 2", in the order of the names.
func Differences(from, to policy.Policy) []string {
	before, after := settings(from), settings(to)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			out = append(out, fmt.Sprintf("%s %v -> %v", name, before[name], after[name]))
		}
	}
	return out
}

// settings are a policy's, by name, each as it is written.
func settings(p policy.Policy) map[string]any {
	var out map[string]any
	body, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(body, &out)
	}
	if err != nil {
		return map[string]any{"policy": err.Error()} // a policy is numbers and words: this tells of a fault of ours
	}
	return out
}
