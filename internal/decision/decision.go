// Package decision is the value that the balancer decides, the scaler serves and the audit log keeps:
// an absolute replica count that explains itself.
package decision

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
)

// Urgency says how badly a fleet needs room: 0 balanced, 1 moderate, 2 high, 3 critical.
type Urgency int

// The urgencies of the table.
const (
	Balanced Urgency = iota
	Moderate
	High
	Critical
)

// String is the urgency's name on the page and in alerts.
func (u Urgency) String() string {
	switch u {
	case Balanced:
		return "balanced"
	case Moderate:
		return "moderate"
	case High:
		return "high"
	case Critical:
		return "critical"
	default:
		return fmt.Sprintf("urgency(%d)", int(u))
	}
}

// Inputs are the readings a decision was made from. Averages are over serving nodes.
type Inputs struct {
	Serving           int           `json:"serving"`
	Starting          int           `json:"starting"`
	Leaving           int           `json:"leaving"`
	Draining          int           `json:"draining"`
	Stale             int           `json:"stale"`
	Stuck             int           `json:"stuck"`
	CPU               float64       `json:"cpu"`
	Memory            float64       `json:"memory"`
	MaxCPU            float64       `json:"maxCpu"`
	MaxMemory         float64       `json:"maxMemory"`
	Connections       int           `json:"connections"`
	Refused           float64       `json:"refusedPerSecond"`
	MessagesPerSecond float64       `json:"messagesPerSecond"`
	P95Latency        time.Duration `json:"p95LatencyNanos"`
	InboxLag          time.Duration `json:"inboxLagNanos"`
}

// Decision is an absolute desired replica count with everything it was made from.
type Decision struct {
	Fleet fleet.ID `json:"fleet"`
	// Sequence grows by one when Desired or a decided Answer changes, and never otherwise.
	Sequence uint64 `json:"sequence"`
	// Fence is the token of the leader that decided.
	Fence uint64 `json:"fence"`
	// At is when Desired last changed; RefreshedAt when it was last confirmed on fresh data;
	// ExpiresAt when it stops being an answer. All are Redis server time.
	At          time.Time `json:"at"`
	RefreshedAt time.Time `json:"refreshedAt"`
	ExpiresAt   time.Time `json:"expiresAt"`
	// Desired is the decided replica count, which KEDA is told unless there is an Answer.
	Desired int `json:"desired"`
	// Answer is the count that KEDA is told instead, so that an HPA which ignores small steps takes this one, or so that
	// shadow mode changes nothing; 0 is none. See Served.
	Answer int `json:"answer,omitempty"`
	// AnswerLasts says that the Answer is right whatever becomes of the fleet, and stands until ExpiresAt though nobody
	// confirms it.
	AnswerLasts bool    `json:"answerLasts,omitempty"`
	Urgency     Urgency `json:"urgency"`
	// Reason is one of the Reason constants; Note says it in words with its figures.
	Reason string `json:"reason"`
	Note   string `json:"note"`
	// LimitedBy names the rule that kept Desired from Want; empty when nothing did.
	LimitedBy string `json:"limitedBy"`
	// Policy is "count" or "table"; Mode is "act" or "shadow".
	Policy string `json:"policy"`
	Mode   string `json:"mode"`
	// Victims are the nodes nominated to leave, the least to lose first.
	Victims []fleet.NodeID `json:"victims,omitempty"`
	Inputs  Inputs         `json:"inputs"`
	Working Working        `json:"working"`
}

// Reasons of decisions: the urgency table's, then the count's.
const (
	ReasonOverload    = "resource-overload"
	ReasonHotspot     = "hotspot"
	ReasonLatency     = "high-latency"
	ReasonBacklog     = "kafka-backlog"
	ReasonPressure    = "combined-pressure"
	ReasonBalanced    = "balanced"
	ReasonDemand      = "demand"
	ReasonQuiet       = "quiet"
	ReasonFirst       = "first"
	ReasonHoldStale   = "hold-stale"
	ReasonHoldNoRedis = "hold-no-data"
	// ReasonHoldNoPolicy is that of a fleet whose limits are not known.
	ReasonHoldNoPolicy = "hold-no-policy"
)

// What can keep the desired count from the wanted one.
const (
	LimitMin       = "minReplicas"
	LimitMax       = "maxReplicas"
	LimitStarting  = "starting"
	LimitStale     = "stale"
	LimitBudget    = "disruptionBudget"
	LimitDelay     = "scaleInDelay"
	LimitStep      = "scaleInStep"
	LimitHeadroom  = "headroom"
	LimitTableWait = "tableStep"
	LimitPaused    = "paused"
	// LimitStorm is a hold after a sudden fall of clients.
	LimitStorm = "stormGuard"
	// LimitRising is a hold while clients are on the rise.
	LimitRising = "rising"
)

// answerFor is how long an Answer stands after its decision was last confirmed. A leader confirms every few seconds; without
// one nobody sees the step land, and the HPA would take the next with its next look.
const answerFor = 10 * time.Second

// Watched reports whether there is an Answer and it may be told, at now on the clock that stamped the decision: because a
// leader still sees what becomes of it, or because nobody has to.
func (d *Decision) Watched(now time.Time) bool {
	return d.Answer > 0 && (d.AnswerLasts || now.Sub(d.RefreshedAt) <= answerFor)
}

// Served is the count to tell KEDA at now: the Answer while it is watched, else what was decided. In shadow mode only an
// Answer may be told.
func (d *Decision) Served(now time.Time) int {
	if d.Watched(now) {
		return d.Answer
	}
	return d.Desired
}

// Expired reports whether the decision is too old to be an answer.
func (d *Decision) Expired(now time.Time) bool { return !now.Before(d.ExpiresAt) }

// LogValue is the decision as one log group with all of its inputs.
func (d Decision) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String(logkey.Fleet, d.Fleet.String()),
		slog.Uint64(logkey.Sequence, d.Sequence),
		slog.Uint64(logkey.Fence, d.Fence),
		slog.Int(logkey.Desired, d.Desired),
		slog.Int("answer", d.Answer),
		slog.String(logkey.Urgency, d.Urgency.String()),
		slog.String(logkey.Reason, d.Reason),
		slog.String("note", d.Note),
		slog.String("limited_by", d.LimitedBy),
		slog.String("policy", d.Policy),
		slog.Any(logkey.Victims, d.Victims),
		slog.Any("inputs", d.Inputs),
		slog.Any("working", d.Working),
	)
}

// Encode writes the decision; one that Decode would refuse is an error.
func (d *Decision) Encode() ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode decision: %w", err)
	}
	return body, nil
}

// Decode reads a decision and refuses one that KEDA must never see.
func Decode(body []byte) (Decision, error) {
	var d Decision
	if err := json.Unmarshal(body, &d); err != nil {
		return Decision{}, fmt.Errorf("decode decision: %w", err)
	}
	if err := d.Validate(); err != nil {
		return Decision{}, err
	}
	return d, nil
}

// Validate names the first field that makes the decision unusable.
func (d *Decision) Validate() error {
	if err := d.Fleet.Validate(); err != nil {
		return fmt.Errorf("decision: %w", err)
	}
	switch {
	case d.Desired < 0 || d.Desired > math.MaxInt32:
		return fmt.Errorf("decision for %s: desired %d is outside 0 to %d", d.Fleet, d.Desired, math.MaxInt32)
	case d.Answer < 0 || d.Answer > math.MaxInt32:
		return fmt.Errorf("decision for %s: answer %d is outside 0 to %d", d.Fleet, d.Answer, math.MaxInt32)
	case d.Urgency < Balanced || d.Urgency > Critical:
		return fmt.Errorf("decision for %s: %s is unknown: want 0 to 3", d.Fleet, d.Urgency)
	case d.ExpiresAt.IsZero():
		return errors.New("decision for " + d.Fleet.String() + ": expiresAt is missing")
	}
	return nil
}
