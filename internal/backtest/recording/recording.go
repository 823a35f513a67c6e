// Package recording keeps what a balancer saw of a fleet and what it decided, in one file, and tells what the policy, or
// another one, would have decided on it.
//
// A recording is gzip over lines of JSON: a header, then a frame for each reading. A file that ends early (a full disk, a
// recorder that was killed) is read up to where it ends.
package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/load"
)

const (
	// Version is the format that this build writes, and the only one that it reads.
	Version = 1
	// format tells a recording from any other file of gzipped lines.
	format = "tidegate-recording"
	// maxLine is the longest line that is read: some 40,000 nodes. A longer one is hostile or broken.
	maxLine = 16 << 20
)

// The bounds of Header.Every: the policy takes a reading for a new start of its watch after 75 s without one.
const (
	MinEvery = 50 * time.Millisecond
	MaxEvery = 30 * time.Second
)

// The sources of a recording.
const (
	// Heartbeats says that every frame is what a balancer read.
	Heartbeats = "heartbeats"
	// Audit says that frames were rebuilt from the inputs of decisions; Header.Coarse says what that means.
	Audit = "audit"
)

// Header is what a recording says of itself.
type Header struct {
	Version int      `json:"version"`
	Fleet   fleet.ID `json:"fleet"`
	// Began is the Redis server's time of the first reading.
	Began time.Time `json:"began"`
	// Every is the time between two readings that the recorder aimed at.
	Every time.Duration `json:"everyNanos"`
	// Source is Heartbeats or Audit; Coarse says in words what the frames are not, and is empty where they are all there was.
	Source string `json:"source"`
	Coarse string `json:"coarse,omitempty"`
	// Shards says that heartbeats carry their list of shards.
	Shards bool `json:"shards,omitempty"`
	// Policy is the fleet's when the recording began.
	Policy policy.Policy `json:"-"`
	// Memory is what the leader remembered when the recording began, as decide.DecodeState reads it; empty when it is not
	// known, and then a replay begins with the first recorded decision and nothing learned.
	Memory json.RawMessage `json:"memory,omitempty"`
}

// Frame is one reading.
type Frame struct {
	// Model is the fleet as the balancer saw it.
	Model load.Fleet
	// Decision is the newest one at that time; zero while there was none.
	Decision decision.Decision
	// Policy is set where the fleet's policy is another one from here on.
	Policy *policy.Policy
}

// Validate names the first field with which nothing could be replayed.
func (h Header) Validate() error {
	if h.Version != Version {
		return fmt.Errorf("version %d is unknown: this build reads %d", h.Version, Version)
	}
	if err := h.Fleet.Validate(); err != nil {
		return err
	}
	switch {
	case h.Began.IsZero() || !inTime(h.Began):
		return fmt.Errorf("began is %s: want a time from 1970 to 9999", h.Began)
	case h.Every < MinEvery || h.Every > MaxEvery:
		return fmt.Errorf("everyNanos is %d: want %s to %s", h.Every, MinEvery, MaxEvery)
	case h.Source != Heartbeats && h.Source != Audit:
		return fmt.Errorf("source is %.40q: want %s or %s", h.Source, Heartbeats, Audit)
	}
	return nil
}

// inTime is true of every time that a Redis server can tell, and that JSON can write; zero times mean never.
func inTime(at time.Time) bool {
	return at.IsZero() || at.After(time.Unix(0, 0)) && at.UTC().Year() <= 9999
}

// IncompleteError says that a recording ends early. What was read before it is sound.
type IncompleteError struct {
	// Frames were read, the last of them at Until; zero when there was none.
	Frames int
	Until  time.Time
	// Err is how the end was noticed.
	Err error
}

// Error says how much was read.
func (i *IncompleteError) Error() string {
	if i.Frames == 0 {
		return fmt.Sprintf("the recording ends before its first reading (%v)", i.Err)
	}
	return fmt.Sprintf("the recording ends early: %d readings up to %s were read (%v)", i.Frames, i.Until.UTC().Format(time.RFC3339), i.Err)
}

// Unwrap is how the end was noticed.
func (i *IncompleteError) Unwrap() error { return i.Err }

// errTooLong is told instead of reading a line into memory that no recorder writes.
var errTooLong = errors.New("it has over 16 MiB, which no recorder writes")
