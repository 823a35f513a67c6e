package balancer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tidegate/tidegate/balancer/decide"
	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/balancer/move"
	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fenced"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/shard"
)

// refreshEvery is how old a stored decision may get before it is written again, changed or not: its expiry moves on with
// it, and a Redis that lost it gets it back.
const refreshEvery = 2 * time.Second

// helm is what a leader holds of one fleet for one term.
type helm struct {
	k     *keeper
	fence uint64

	decisions, states, tables fenced.Cell

	restored bool
	// noPolicy is why nothing was decided when this leader last looked; empty when it could.
	noPolicy string
	state    decide.State
	// shown is the newest decision; written the one that Redis holds, since writtenAt on the server's clock.
	shown     decision.Decision
	written   decision.Decision
	writtenAt time.Time
	// recorded is the newest sequence that was logged and sent to the audit.
	recorded uint64
	// said is what users were last told, by the reason of its event.
	said map[string]string
	// version counts the writes of decision and state.
	version uint64

	// table is the stored one. unsaved is its successor, whose write has not succeeded for sure: it may have reached
	// readers, so nothing else may be written under its version.
	table, unsaved *shard.Table
	savedAt        time.Time
	heated         []time.Time
	waits          move.Waits
	cooling        move.Cooling
	limits         move.Limits
}

func newHelm(k *keeper, fence uint64) *helm {
	cell := func(key string) fenced.Cell { return fenced.NewCell(k.b.Redis, key, k.b.Timeout) }
	return &helm{
		k: k, fence: fence, said: map[string]string{},
		decisions: cell(keys.Decision(k.id)), states: cell(keys.State(k.id)), tables: cell(keys.Table(k.id)),
	}
}

// govern decides and moves, and returns the model as the new decision makes it. A fenced write ends the term; after any
// other error the next tick tries again.
func (k *keeper) govern(ctx context.Context, p policy.Policy, f load.Fleet) (load.Fleet, error) {
	h := k.helm
	if f.Reachable {
		if err := h.outrank(ctx, f); err != nil {
			return f, err
		}
	}
	if !h.restored {
		if !f.Reachable {
			return f, nil
		}
		if err := h.restore(ctx, p, f.Now); err != nil {
			return f, err
		}
		// What was restored may name other nodes and another count than f was made with.
		k.ghosts = k.book.Expect(p, k.named())
		f = k.model(p)
		k.measure(p, f)
	}
	h.decide(p, f)
	f = k.model(p)
	// Before it is stored: whoever hears of the decision may ask at once who leaves.
	k.show(f)
	if !f.Reachable {
		return f, nil // hold: nothing can be stored, so nothing may change
	}
	if err := h.store(ctx, f.Now); err != nil {
		return f, err
	}
	h.announce(f)
	return f, h.turn(ctx, p, f)
}

// decide applies the policy. Where no decision stands, the first one waits until every living node had the time to speak:
// who has not is no reason to scale in. One that ran out while the policy was not known is no answer any more when it is.
func (h *helm) decide(p policy.Policy, f load.Fleet) {
	if f.NoPolicy != h.noPolicy {
		h.noPolicy = f.NoPolicy
		if h.noPolicy != "" {
			h.k.logger.Warn("nothing is decided: the fleet's policy is not known", slog.String(logkey.Reason, h.noPolicy))
		} else {
			h.k.logger.Info("the fleet's policy is known")
			h.state = decide.Revive(p, h.state, f.Now)
		}
	}
	if !h.state.Decided && h.k.book.Watched() <= p.StaleAfter() {
		return
	}
	d, state := decide.Next(p, h.state, f)
	d.Fence = h.fence
	h.state, h.shown = state, d
	h.k.b.metrics.decided(d, h.k.b.Interval)
}

// store writes the decision when readers must learn of it. The memory goes first: a leader that dies in between leaves a
// memory that knows of its decision, never a decision that its successor would number again.
func (h *helm) store(ctx context.Context, now time.Time) error {
	d := h.shown
	if d.Sequence == 0 || !differs(d, h.written) && now.Sub(h.writtenAt) < refreshEvery && !now.Before(h.writtenAt) {
		return nil
	}
	memory, err := h.state.Encode()
	if err != nil {
		return err
	}
	body, err := d.Encode()
	if err != nil {
		return err
	}
	h.version++ // also after a failed try, which may have been stored
	if err := h.states.Write(ctx, h.fence, h.version, memory); err != nil {
		return err
	}
	if err := h.decisions.Write(ctx, h.fence, h.version, body); err != nil {
		return err
	}
	h.written, h.writtenAt = d, now
	h.record(d)
	return nil
}

// differs reports whether readers of one decision should be told of the other; a newer expiry alone can wait.
func differs(a, b decision.Decision) bool {
	return a.Sequence != b.Sequence || a.Desired != b.Desired || a.Answer != b.Answer || a.AnswerLasts != b.AnswerLasts || a.Urgency != b.Urgency || a.Reason != b.Reason ||
		a.LimitedBy != b.LimitedBy || a.Policy != b.Policy || a.Mode != b.Mode || !slices.Equal(a.Victims, b.Victims)
}

// record logs and audits a decision once, after it was stored.
func (h *helm) record(d decision.Decision) {
	if d.Sequence == h.recorded {
		return
	}
	h.recorded = d.Sequence
	h.k.b.metrics.recorded(d)
	h.k.b.Audit.Record(d)
	h.k.b.Events.Tell(h.k.id, false, eventDecided, fmt.Sprintf("%s [%s]", d.Note, d.Reason))
	h.k.logger.Info("a new decision", slog.Any(logkey.Decision, d))
}

// restore continues from what the last leader left: its table, its decision, its memory, each from Redis or, where
// Redis has lost it, from what this replica heard before.
func (h *helm) restore(ctx context.Context, p policy.Policy, now time.Time) error {
	if err := h.restoreDecision(ctx, p, now); err != nil {
		return err
	}
	if err := h.restoreTable(ctx); err != nil {
		return err
	}
	h.restored = true
	h.k.logger.Info("this replica governs the fleet", slog.Uint64(logkey.Fence, h.fence),
		slog.Uint64(logkey.Sequence, h.shown.Sequence), slog.Int(logkey.Desired, h.shown.Desired), slog.Uint64(logkey.Table, h.tableVersion()))
	return nil
}

// outrank ends a term whose token is below one that nodes act on: they would ignore all it writes. They may say so at any
// time: after Redis lost its data they tell of the last leader's token only with their next heartbeat.
func (h *helm) outrank(ctx context.Context, f load.Fleet) error {
	var used uint64
	for i := range f.Nodes {
		used = max(used, f.Nodes[i].Fence)
	}
	if used <= h.fence {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.k.b.Timeout)
	defer cancel()
	if err := lead.Raise(ctx, h.k.b.Redis, used); err != nil {
		return err
	}
	return fmt.Errorf("govern with fence %d: %w: nodes act on fence %d", h.fence, fenced.ErrFenced, used)
}

func (h *helm) restoreDecision(ctx context.Context, p policy.Policy, now time.Time) error {
	stored, err := h.read(ctx, h.decisions)
	if err != nil {
		return err
	}
	memory, err := h.read(ctx, h.states)
	if err != nil {
		return err
	}
	h.version = max(stored.Version, memory.Version)
	d, _, _ := h.k.b.decisions.Latest(h.k.id) // zero when this replica never heard of one
	if stored.Found {
		kept, err := decision.Decode(stored.Body)
		if err != nil {
			h.k.logger.Error("the stored decision cannot be used", slog.Any(logkey.Err, err))
		} else if kept.Sequence >= d.Sequence {
			d = kept
		}
	}
	h.state = decide.Revive(p, h.remember(memory, d), now)
	if h.state.Decided {
		h.shown = h.state.Last
	}
	h.recorded = d.Sequence
	return nil
}

// remember reads the policy's memory, or makes one of the decision that stands where there is none or it is older.
func (h *helm) remember(memory fenced.Reading, d decision.Decision) decide.State {
	if memory.Found {
		state, err := decide.DecodeState(memory.Body)
		if err == nil && state.Last.Sequence >= d.Sequence {
			return state
		}
		if err != nil {
			h.k.logger.Error("the stored memory of the policy cannot be used; scale-in waits until it has watched anew", slog.Any(logkey.Err, err))
		}
	}
	if d.Sequence == 0 {
		return decide.State{}
	}
	return decide.Resume(d)
}

// read refuses a cell that a newer leader has written.
func (h *helm) read(ctx context.Context, cell fenced.Cell) (fenced.Reading, error) {
	reading, err := cell.Read(ctx)
	if err == nil && reading.Fence > h.fence {
		err = fmt.Errorf("continue with fence %d: %w: fence %d", h.fence, fenced.ErrFenced, reading.Fence)
	}
	return reading, err
}

func (h *helm) tableVersion() uint64 {
	switch {
	case h.unsaved != nil:
		return h.unsaved.Version
	case h.table != nil:
		return h.table.Version
	default:
		return 0
	}
}
