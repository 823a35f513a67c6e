package scaledobject

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
)

// The types of trigger by which KEDA asks a scaler of somebody's own.
const (
	// TypePush is told of new decisions at once; TypePoll learns of them when KEDA asks.
	TypePush = "external-push"
	TypePoll = "external"
)

// keyFleet and keyAddress are keys of a trigger's metadata.
const (
	keyFleet   = "fleet"
	keyAddress = "scalerAddress"
)

// telling are the keys of metadata that no other scaler is likely to have.
var telling = []string{
	keyFleet, "connectionsPerPod", "messagesPerPod", "cpuCeiling", "memoryCeiling", "disruptionBudget", "scaleInDelay",
}

// ours finds our triggers: external ones whose address is that of our scaler's Service. Where none has it, the only
// external trigger is ours when its metadata holds a key that tells; a scaler may be reached under another name.
func ours(triggers []Trigger) []int {
	var named, external []int
	for i, t := range triggers {
		if t.Type != TypePush && t.Type != TypePoll {
			continue
		}
		external = append(external, i)
		if service(t.Metadata[keyAddress]) == keys.ScalerService {
			named = append(named, i)
		}
	}
	if len(named) > 0 || len(external) != 1 {
		return named
	}
	metadata := triggers[external[0]].Metadata
	if slices.ContainsFunc(telling, func(key string) bool { _, has := metadata[key]; return has }) {
		return external
	}
	return nil
}

// service is the first label of an address's host, whether or not it has a scheme of gRPC and a port.
func service(address string) string {
	if _, after, found := strings.Cut(address, "://"); found {
		address = strings.TrimLeft(after, "/")
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	label, _, _ := strings.Cut(address, ".")
	return label
}

// Ours reports whether the object has a trigger of ours.
func (o Object) Ours() bool { return len(o.ours) > 0 }

// Trigger is the first trigger of ours; not ok when there is none.
func (o Object) Trigger() (t Trigger, ok bool) {
	if !o.Ours() {
		return Trigger{}, false
	}
	return o.Triggers[o.ours[0]], true
}

// fleet is the fleet our trigger asks for, exactly as the scaler understands it.
func (o Object) fleet() (fleet.ID, error) {
	id := fleet.ID{Namespace: o.Namespace, Name: o.Name}
	if name, given := o.Triggers[o.ours[0]].Metadata[keyFleet]; given {
		id.Name = name
	}
	if err := id.Validate(); err != nil {
		return fleet.ID{}, fmt.Errorf("%w: name the fleet's Deployment in key %q of the trigger's metadata", err, keyFleet)
	}
	return id, nil
}
