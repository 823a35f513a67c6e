package policy

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// foreign are the metadata keys that KEDA's external trigger reads itself.
var foreign = map[string]bool{
	"scalerAddress": true, "enableTLS": true, "insecureSkipVerify": true, "unsafeSsl": true,
	"tlsCertFile": true, "tlsClientCert": true, "tlsClientKey": true, "caCert": true,
}

const (
	// envSuffix marks the keys that KEDA resolves from the target's environment.
	envSuffix = "FromEnv"
	// metricType is a field of the trigger that some write into its metadata.
	metricType = "metricType"
)

// Parse reads a trigger's metadata over the default policy. The error joins one *FieldError a problem.
func Parse(metadata map[string]string) (Policy, error) { return Default().With(metadata) }

// With reads a trigger's metadata over p, which holds what the policy file said. On an error p is returned as it was;
// the error joins one *FieldError a problem, in the order of the keys.
func (p Policy) With(metadata map[string]string) (Policy, error) {
	next := p
	all := settings(&next)
	var problems []error
	failed := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if err := apply(all, key, metadata[key]); err != nil {
			problems = append(problems, err)
			failed[key] = true
		}
	}
	problems = append(problems, crossCheck(next, failed)...)
	if len(problems) > 0 {
		return p, errors.Join(problems...)
	}
	return next, nil
}

func apply(all []setting, key, text string) error {
	if s, ok := find(all, key, inTrigger); ok {
		return s.set(text)
	}
	switch {
	case key == metricType:
		return checkMetricType(text)
	case foreign[key] || strings.HasSuffix(key, envSuffix):
		return nil
	}
	if _, ok := find(all, key, inFile); ok {
		return &FieldError{
			Field: key, Value: text, Problem: "cannot be set for one trigger",
			Fix: "set it in the balancer's policy file",
		}
	}
	return unknown(key, text, names(all, inTrigger))
}

func checkMetricType(text string) error {
	if text == "AverageValue" {
		return nil
	}
	return &FieldError{
		Field: metricType, Value: text, Problem: "would multiply the count by the ready pods",
		Fix: "write AverageValue or remove it",
	}
}

// Metadata writes the policy's trigger settings so that Parse reads them back.
func (p Policy) Metadata() map[string]string {
	out := map[string]string{}
	for _, s := range settings(&p) {
		if text := s.text(); s.trigger && text != "" {
			out[s.name] = text
		}
	}
	return out
}
