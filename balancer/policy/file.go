package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// maxFileBytes is the longest policy file that is read.
const maxFileBytes = 1 << 20

// Load reads the balancer's policy file over base: one JSON object whose keys are the settings' names, durations and
// words as strings ("300s"), switches as true or false, the rest as numbers. Unknown and repeated keys are errors, and so is "fleet", since the file
// is for all fleets. On an error base is returned; the error joins one problem a key.
func Load(r io.Reader, base Policy) (Policy, error) {
	members, err := object(io.LimitReader(r, maxFileBytes))
	if err != nil {
		return base, fmt.Errorf("policy file: %w", err)
	}
	next := base
	all := settings(&next)
	var problems []error
	failed := map[string]bool{}
	for _, m := range members {
		if err := applyJSON(all, m.key, m.raw); err != nil {
			problems = append(problems, err)
			failed[m.key] = true
		}
	}
	problems = append(problems, crossCheck(next, failed)...)
	if len(problems) > 0 {
		return base, fmt.Errorf("policy file: %w", errors.Join(problems...))
	}
	return next, nil
}

type member struct {
	key string
	raw json.RawMessage
}

// object reads one JSON object and refuses repeated keys, which encoding/json would let pass.
func object(r io.Reader) ([]member, error) {
	decoder := json.NewDecoder(r)
	token, err := decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("is not JSON (write {\"margin\": 1.1} with the settings' names): %w", err)
	}
	if token != json.Delim('{') {
		return nil, fmt.Errorf("begins with %v: write one JSON object", token)
	}
	var members []member
	seen := map[string]bool{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("is not JSON after byte %d: %w", decoder.InputOffset(), err)
		}
		m := member{key: fmt.Sprint(key)}
		if seen[m.key] {
			return nil, fmt.Errorf("has the key %q twice: keep one", m.key)
		}
		seen[m.key] = true
		if err := decoder.Decode(&m.raw); err != nil {
			return nil, fmt.Errorf("has a value of %q that is not JSON: %w", m.key, err)
		}
		members = append(members, m)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("has no closing brace: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("goes on after its object: keep one object")
	}
	return members, nil
}

func applyJSON(all []setting, key string, raw json.RawMessage) error {
	s, ok := find(all, key, inFile)
	if !ok {
		if key == triggerOnly {
			return &FieldError{Field: key, Value: string(raw), Problem: "cannot be set for all fleets", Fix: "set it in the trigger's metadata"}
		}
		return unknown(key, string(raw), names(all, inFile))
	}
	if s.value.Kind() == reflect.String || s.value.Type() == durationType {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil || raw[0] != '"' {
			return s.wrong(string(raw), "is not a string", fmt.Sprintf("write it in quotes, such as %q", s.fallback()))
		}
		return s.set(text)
	}
	if s.value.Kind() == reflect.Bool {
		if raw[0] != 't' && raw[0] != 'f' {
			return s.wrong(string(raw), "is neither on nor off", "write "+s.bounds()+" without quotes")
		}
		return s.set(string(raw))
	}
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return s.wrong(string(raw), "is not a number", "write "+s.bounds()+" without quotes")
	}
	return s.set(string(raw))
}

// MarshalJSON writes every setting but the fleet's name as Load reads it.
func (p Policy) MarshalJSON() ([]byte, error) {
	out := map[string]any{}
	for _, s := range settings(&p) {
		switch {
		case !inFile(s):
		case s.value.Kind() == reflect.String || s.value.Type() == durationType:
			out[s.name] = s.text()
		default:
			out[s.name] = s.value.Interface()
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode policy: %w", err)
	}
	return body, nil
}
