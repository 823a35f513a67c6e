package fleet

import "fmt"

// State is where a node stands in its life.
type State uint8

// The states of a node, in the order it passes through them.
const (
	// Starting nodes warm up: they do not own their share of the shards yet.
	Starting State = iota + 1
	// Serving nodes own shards and take clients.
	Serving
	// Leaving nodes are nominated to go; their shards warm up elsewhere.
	Leaving
	// Draining nodes send their clients away.
	Draining
	// Gone nodes hold nothing any more.
	Gone
)

var stateNames = map[State]string{
	Starting: "starting",
	Serving:  "serving",
	Leaving:  "leaving",
	Draining: "draining",
	Gone:     "gone",
}

// String is the state's name in every log line, heartbeat and page.
func (s State) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText writes the state's name; an unknown state is an error.
func (s State) MarshalText() ([]byte, error) {
	if _, ok := stateNames[s]; !ok {
		return nil, fmt.Errorf("node state %d has no name", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(text []byte) error {
	for state, name := range stateNames {
		if name == string(text) {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("node state %q is unknown: want starting, serving, leaving, draining or gone", text)
}
