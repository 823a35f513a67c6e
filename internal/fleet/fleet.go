// Package fleet names fleets and their nodes and tells the states a node passes through.
package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// maxNameBytes is the longest name Kubernetes gives an object (RFC 1123 subdomain).
const maxNameBytes = 253

// ID names a fleet: the pods of one Deployment that one ScaledObject scales.
type ID struct {
	Namespace string
	Name      string
}

// NodeID names one socket node. In a cluster it is the pod's name.
type NodeID string

// Parse reads an id written as "namespace/name".
func Parse(text string) (ID, error) {
	namespace, name, found := strings.Cut(text, "/")
	if !found {
		return ID{}, fmt.Errorf("fleet %q has no slash: write namespace/name", text)
	}
	id := ID{Namespace: namespace, Name: name}
	if err := id.Validate(); err != nil {
		return ID{}, err
	}
	return id, nil
}

// Validate reports the first part of the id that Kubernetes would refuse as a name.
func (id ID) Validate() error {
	if err := validName(id.Namespace); err != nil {
		return fmt.Errorf("fleet namespace %q: %w", id.Namespace, err)
	}
	if err := validName(id.Name); err != nil {
		return fmt.Errorf("fleet name %q: %w", id.Name, err)
	}
	return nil
}

// String writes the id as Parse reads it.
func (id ID) String() string { return id.Namespace + "/" + id.Name }

// MarshalText writes the id as Parse reads it.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Validate reports a node name that Kubernetes would refuse.
func (n NodeID) Validate() error {
	if err := validName(string(n)); err != nil {
		return fmt.Errorf("node %q: %w", string(n), err)
	}
	return nil
}

func validName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty: give it a name")
	case len(name) > maxNameBytes:
		return fmt.Errorf("has %d bytes: at most %d are allowed", len(name), maxNameBytes)
	}
	for i, r := range name {
		inner := i > 0 && i < len(name)-1
		alnum := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if alnum || inner && (r == '-' || r == '.') {
			continue
		}
		return fmt.Errorf("has %q at byte %d: use lower-case letters, digits, and inside '-' or '.'", r, i)
	}
	return nil
}
