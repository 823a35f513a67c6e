package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

// headerLine is the first line of a file.
type headerLine struct {
	Format string `json:"format"`
	Header
	Rules json.RawMessage `json:"policy"`
}

// frameLine is every other line.
type frameLine struct {
	Now       time.Time          `json:"now"`
	Reachable bool               `json:"reachable"`
	Pending   int                `json:"pending,omitempty"`
	Stuck     int                `json:"stuck,omitempty"`
	NoPolicy  string             `json:"noPolicy,omitempty"`
	Nodes     []nodeLine         `json:"nodes"`
	Cluster   *load.Cluster      `json:"cluster,omitempty"`
	Decision  *decision.Decision `json:"decision,omitempty"`
	Rules     json.RawMessage    `json:"policy,omitempty"`
}

// nodeLine is one node: its heartbeat, and what the balancer made of it. Addresses stay out, so that a file can be handed on.
type nodeLine struct {
	load.Heartbeat
	At    time.Time     `json:"at,omitzero"`
	View  fleet.State   `json:"view"`
	Age   time.Duration `json:"ageNanos"`
	Stale bool          `json:"stale,omitempty"`
	Since time.Time     `json:"since,omitzero"`
}

func (h Header) encode() ([]byte, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	rules, err := json.Marshal(h.Policy)
	if err != nil {
		return nil, err
	}
	return json.Marshal(headerLine{Format: format, Header: h, Rules: rules})
}

func decodeHeader(line []byte) (Header, error) {
	if err := sparse(line); err != nil {
		return Header{}, err
	}
	var read headerLine
	if err := json.Unmarshal(line, &read); err != nil || read.Format != format {
		return Header{}, fmt.Errorf("its first line is no header of one (%.60q)", line)
	}
	h := read.Header
	if err := h.Validate(); err != nil {
		return Header{}, err
	}
	var err error
	h.Policy, err = decodePolicy(read.Rules)
	return h, err
}

// decodePolicy reads settings over the default ones: a file of an older build knows fewer of them.
func decodePolicy(rules json.RawMessage) (policy.Policy, error) {
	return policy.Load(bytes.NewReader(rules), policy.Default())
}

// encode writes a frame of this header's fleet.
func (f Frame) encode(h Header) ([]byte, error) {
	m := f.Model
	line := frameLine{
		Now: m.Now, Reachable: m.Reachable, Pending: m.Pending, Stuck: m.Stuck, NoPolicy: m.NoPolicy,
		Nodes: make([]nodeLine, len(m.Nodes)), Cluster: m.Cluster,
	}
	for i, n := range m.Nodes {
		line.Nodes[i] = nodeLine{Heartbeat: n.Heartbeat, At: n.At, View: n.State, Age: n.Age, Stale: n.Stale, Since: n.Since}
		line.Nodes[i].URL, line.Nodes[i].AdminURL = "", ""
		if !h.Shards {
			line.Nodes[i].Shards = nil
		}
	}
	if f.Decision.Sequence > 0 {
		line.Decision = &f.Decision
	}
	if f.Policy != nil {
		rules, err := json.Marshal(*f.Policy)
		if err != nil {
			return nil, err
		}
		line.Rules = rules
	}
	if err := line.validate(h); err != nil {
		return nil, err
	}
	body, err := json.Marshal(line)
	if err != nil {
		return nil, err
	}
	return body, sparse(body)
}

func decodeFrame(body []byte, h Header) (Frame, error) {
	if err := sparse(body); err != nil {
		return Frame{}, err
	}
	var line frameLine
	if err := json.Unmarshal(body, &line); err != nil {
		return Frame{}, err
	}
	if err := line.validate(h); err != nil {
		return Frame{}, err
	}
	f := Frame{Model: load.Fleet{
		ID: h.Fleet, Now: line.Now, Reachable: line.Reachable, Pending: line.Pending, Stuck: line.Stuck,
		NoPolicy: line.NoPolicy, Cluster: line.Cluster, Nodes: make([]load.Node, len(line.Nodes)),
	}}
	for i := range line.Nodes {
		n := &line.Nodes[i]
		f.Model.Nodes[i] = load.Node{Heartbeat: n.Heartbeat, State: n.View, Age: n.Age, Stale: n.Stale, Since: n.Since}
		f.Model.Nodes[i].At = n.At
	}
	if line.Decision != nil {
		f.Decision = *line.Decision
	}
	if len(line.Rules) > 0 {
		rules, err := decodePolicy(line.Rules)
		if err != nil {
			return Frame{}, err
		}
		f.Policy = &rules
	}
	return f, nil
}

// validate holds a frame to what a balancer can have seen: whatever passes can be decided on.
func (l frameLine) validate(h Header) error {
	switch {
	case l.Now.IsZero() || !inTime(l.Now):
		return fmt.Errorf("now is %s: want a time from 1970 to 9999", l.Now)
	case l.Pending < 0 || l.Stuck < 0 || l.Stuck > l.Pending:
		return fmt.Errorf("%d are pending and %d of them stuck: want counts, the second within the first", l.Pending, l.Stuck)
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if i > 0 && n.Node <= l.Nodes[i-1].Node {
			return fmt.Errorf("node %.80s does not follow %.80s: want nodes by name, each once", n.Node, l.Nodes[i-1].Node)
		}
		if err := n.validate(h); err != nil {
			return err
		}
	}
	if c := l.Cluster; c != nil {
		for _, count := range []int{c.Spec, c.Status, c.HPA.Min, c.HPA.Max} {
			if count < 0 || count > math.MaxInt32 {
				return fmt.Errorf("the cluster tells of %d replicas: want 0 to %d", count, math.MaxInt32)
			}
		}
	}
	if l.Decision != nil {
		return validateDecision(l.Decision, h)
	}
	return nil
}

func validateDecision(d *decision.Decision, h Header) error {
	if err := d.Validate(); err != nil {
		return err
	}
	switch {
	case d.Sequence == 0:
		return fmt.Errorf("decision for %s has no sequence: leave it out while there is none", d.Fleet)
	case d.Fleet != h.Fleet:
		return fmt.Errorf("decision is for %s in a recording of %s", d.Fleet, h.Fleet)
	case !inTime(d.At) || !inTime(d.RefreshedAt) || !inTime(d.ExpiresAt):
		return fmt.Errorf("decision for %s is of no time from 1970 to 9999", d.Fleet)
	}
	return nil
}

func (n *nodeLine) validate(h Header) error {
	beat := n.Heartbeat
	if beat.Version == 0 && n.Stale {
		beat.Version = load.Version // of a node that only the table or Kubernetes names there is no heartbeat
	}
	if err := beat.Validate(); err != nil {
		return err
	}
	switch {
	case beat.Fleet != h.Fleet:
		return fmt.Errorf("node %s is of fleet %s in a recording of %s", n.Node, beat.Fleet, h.Fleet)
	case n.View < fleet.Starting || n.View > fleet.Gone:
		return fmt.Errorf("node %s: view %s is unknown", n.Node, n.View)
	case n.Age < 0:
		return fmt.Errorf("node %s: ageNanos is %d: want 0 or more", n.Node, n.Age)
	case !inTime(n.At) || !inTime(n.Since):
		return fmt.Errorf("node %s: at %s or since %s is no time from 1970 to 9999", n.Node, n.At, n.Since)
	}
	return nil
}
