package move

import (
	"log/slog"
	"time"

	"github.com/tidegate/tidegate/balancer/placement"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
)

// Kind is what a change does to a row.
type Kind uint8

// The kinds of changes.
const (
	// Assign gives a shard that has no living owner an owner at once.
	Assign Kind = iota + 1
	// Flip makes the next owner the owner.
	Flip
	// Next names a next owner: a move begins.
	Next
	// Redirect names another next owner, since the last one cannot take the shard any more, or does not get ready.
	Redirect
	// Cancel ends a move, since its next owner is lost or slow and the shard can stay.
	Cancel
)

var kindNames = [...]string{Assign: "assign", Flip: "flip", Next: "next", Redirect: "redirect", Cancel: "cancel"}

// String is the kind's name in logs and metrics.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// Reasons of changes.
const (
	ReasonNoOwner   = "no-owner"
	ReasonOwnerDead = "owner-dead"
	ReasonReady     = "ready"
	ReasonLeaving   = "owner-leaving"
	ReasonNewcomer  = "newcomer"
	// ReasonHeat is that of a shard whose node carries more than its share, ReasonHotspot that of one whose node is too hot.
	ReasonHeat     = "heat"
	ReasonHotspot  = "hotspot"
	ReasonNextLost = "next-lost"
	ReasonSlow     = "slow"
)

// Change is one change of one row.
type Change struct {
	Shard shard.ID
	Kind  Kind
	// From and To are owners for Assign and Flip, and next owners for Redirect and Cancel; Next goes from
	// the owner to the next one. Either may be empty.
	From, To fleet.NodeID
	// Reason is one of the Reason constants.
	Reason string
}

// LogValue is the change as one log group.
func (c Change) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int(logkey.Shard, int(c.Shard)),
		slog.String(logkey.Kind, c.Kind.String()),
		slog.String(logkey.From, string(c.From)),
		slog.String(logkey.To, string(c.To)),
		slog.String(logkey.Reason, c.Reason),
	)
}

// NoteHeat writes down which shards moved for heat just now, for Input.Heated; it grows the slice when it
// must. A leader starts without one: its memory is not stored, so a new leader may move a shard once more.
func NoteHeat(heated []time.Time, changes []Change, now time.Time) []time.Time {
	for _, c := range changes {
		if c.Reason != ReasonHeat && c.Reason != ReasonHotspot {
			continue
		}
		for int(c.Shard) >= len(heated) {
			heated = append(heated, time.Time{})
		}
		heated[c.Shard] = now
	}
	return heated
}

// reasonOf puts the placement's cause for moving a shard that has an owner into a change's words: such a
// shard counts as an orphan when its owner wants to go.
func reasonOf(why placement.Cause) string {
	switch why {
	case placement.Fill:
		return ReasonNewcomer
	case placement.Heat:
		return ReasonHeat
	case placement.Orphan, placement.Kept:
	}
	return ReasonLeaving
}
