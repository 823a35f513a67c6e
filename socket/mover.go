package socket

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/logkey"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/shard"
	"github.com/tidegate/tidegate/socket/drain"
)

const (
	// stepEvery is the time between two steps of a move or a drain.
	stepEvery = 100 * time.Millisecond
	// unhurried is the deadline of a rebalance, which has none: the pace alone counts.
	unhurried = 24 * time.Hour
	// mostReturn bounds the time over which clients that are closed together are told to return.
	mostReturn = 30 * time.Second
	// mostSafety is what a drain keeps of its deadline for the last connections to close.
	mostSafety = 3 * time.Second
)

// Reasons that clients are told.
const (
	reasonRebalance = "rebalance"
	reasonDrain     = "drain"
	reasonShutdown  = "shutdown"
)

// mover sends sessions away: those whose shard another node owns, and in a drain all of them. It belongs to one
// goroutine.
type mover struct {
	node   *node
	credit drain.Credit
	last   time.Time
	// away is since when each shard with clients here has another owner, and use what leisure goes by.
	away map[shard.ID]time.Time
	use  float64
}

// survey is what a step finds.
type survey struct {
	ready   []*resident // not told, their shard has another owner
	waiting []*resident // not told, their shard is still this node's
	due     []*resident // told, and out of patience
	told    int
	targets map[fleet.NodeID]struct{}
}

// run moves until the node stops. It sleeps while there is nothing to move.
func (m *mover) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		stirred, changed := m.node.stirred.changed(), m.node.table.Changed()
		if pause := m.step(); pause > 0 {
			timer.Reset(pause)
		} else {
			m.last = time.Time{}
		}
		select {
		case <-m.node.ctx.Done():
			return
		case <-timer.C:
		case <-stirred:
		case <-changed:
		}
	}
}

// step does what is due and tells in what time there is more to do; 0 is never, as things are.
func (m *mover) step() time.Duration {
	n := m.node
	t, _, known := n.table.Latest()
	departure, deadline := n.lifecycle.departing()
	now := n.now()
	if departure != nil && (n.open.Load() == 0 || !now.Before(deadline)) {
		m.finish(now)
		return 0
	}
	if !known {
		t = &shard.Table{}
	}
	found := m.survey(t, now, departure != nil)
	if len(found.ready)+len(found.waiting)+found.told == 0 {
		if departure != nil {
			return stepEvery
		}
		m.away = nil
		return 0
	}
	since := time.Duration(0)
	if !m.last.IsZero() {
		since = now.Sub(m.last)
	}
	m.last = now
	most, pause := math.Inf(1), stepEvery
	if departure == nil {
		most = m.ease(t, &found, now, since)
	}
	if !math.IsInf(most, 1) {
		pause = easeEvery
	}
	limits := drain.Limits{Rate: n.o.DrainRate, Patience: n.o.DrainPatience}
	situation := drain.Situation{
		Ready: len(found.ready), Waiting: len(found.waiting), Told: found.told, Due: len(found.due), Left: unhurried, Since: since, Most: most,
	}
	situation.Targets, situation.Sources = m.flow(t, found.targets, departure != nil)
	if departure != nil {
		limits.Safety, situation.Left = min(mostSafety, n.o.DrainTimeout/4), deadline.Sub(now)
	}
	var next drain.Step
	next, m.credit = drain.Next(limits, m.credit, situation)
	m.take(t, found, next, departure != nil)
	return pause
}

// survey sorts the sessions that must leave. A session that was told to move while its shard had this row stays told;
// when the row changes it is told anew.
func (m *mover) survey(t *shard.Table, now time.Time, all bool) survey {
	found := survey{targets: map[fleet.NodeID]struct{}{}}
	m.node.residents.each(func(r *resident) {
		var row shard.Row
		if int(r.shard) < len(t.Rows) {
			row = t.Rows[r.shard]
		}
		// A next owner keeps whom it has taken in, until it goes itself: the owner can have them at once.
		gone := row.Owner != "" && row.Owner != m.node.id && (all || !m.node.serves(row))
		if r.moved.Load() || !gone && !all {
			return
		}
		if gone {
			found.targets[row.Owner] = struct{}{}
		}
		switch {
		case r.toldAt == row.Version+1:
			found.told++
			if !now.Before(r.closeAt) {
				found.due = append(found.due, r)
			}
		case gone:
			found.ready = append(found.ready, r)
		default:
			found.waiting = append(found.waiting, r)
		}
	})
	// In turn over all shards, or the handshakes of many clients at once would all be one new owner's.
	rand.Shuffle(len(found.ready), func(i, j int) { found.ready[i], found.ready[j] = found.ready[j], found.ready[i] })
	slices.SortFunc(found.due, func(a, b *resident) int { return a.closeAt.Compare(b.closeAt) })
	return found
}

// flow counts who takes the clients and who sends them. In a drain everybody who serves takes, and everybody who goes
// sends; in a rebalance the new owners take, and all who serve may send at the same time.
func (m *mover) flow(t *shard.Table, owners map[fleet.NodeID]struct{}, all bool) (targets, sources int) {
	serving, going := 0, 0
	for id, other := range t.Nodes {
		switch {
		case id == m.node.id:
		case other.State == fleet.Serving:
			serving++
		case other.State == fleet.Leaving || other.State == fleet.Draining:
			going++
		}
	}
	if all {
		return max(serving, len(owners)), going + 1
	}
	return len(owners), max(1, serving)
}

// take carries a step out.
func (m *mover) take(t *shard.Table, found survey, next drain.Step, all bool) {
	if next.All {
		m.node.closeAll(reasonDrain, next.Pace)
		return
	}
	if next.Forced && all && m.node.lifecycle.hurried() {
		m.node.logger.Warn("the drain's time is short: clients go faster than the others can take them",
			slog.Int(logkey.Sessions, len(found.ready)+len(found.waiting)+found.told))
	}
	reason := reasonRebalance
	if all {
		reason = reasonDrain
	}
	for _, r := range append(found.ready, found.waiting...)[:next.Tell] {
		r.closeAt = m.node.now().Add(next.Patience)
		r.toldAt = 1
		if int(r.shard) < len(t.Rows) {
			r.toldAt = t.Rows[r.shard].Version + 1
		}
		r.send(protocol.Drain{Deadline: r.closeAt, Reason: reason, URL: m.node.elsewhere(t, r.shard)})
	}
	how := inTurn
	if next.Forced {
		how = byForce
	}
	for _, r := range found.due[:next.Close] {
		r.how.Store(how)
		r.conn.Close(protocol.CloseMoved, reason+": connect to the shard's owner")
	}
}

func (m *mover) finish(now time.Time) {
	if !m.node.lifecycle.finish(now) {
		return
	}
	s := m.node.lifecycle.summary(m.node.id, now, int(m.node.open.Load()))
	m.node.metrics.drained(time.Duration(s.ElapsedMillis)*time.Millisecond, s.Forced)
	m.node.logger.Info("drain ended", slog.String(logkey.Reason, s.Reason), slog.Int(logkey.Sessions, s.Sessions),
		slog.Int(logkey.Count, s.Left), slog.Duration(logkey.Elapsed, time.Duration(s.ElapsedMillis)*time.Millisecond))
}

// elsewhere is where a client of the shard should go: to the owner, else to the next owner; empty is "resolve again".
func (n *node) elsewhere(t *shard.Table, id shard.ID) string {
	if int(id) >= len(t.Rows) {
		return ""
	}
	row := t.Rows[id]
	if row.Owner != n.id {
		return t.Nodes[row.Owner].URL
	}
	return t.Nodes[row.Next].URL
}

// closeAll closes every session now and tells each where and when to return, spread over what the others can take.
func (n *node) closeAll(reason string, pace float64) {
	t, _, known := n.table.Latest()
	if !known {
		t = &shard.Table{}
	}
	now := n.now()
	spread := drain.Spread(n.residents.total(), pace, mostReturn)
	n.residents.each(func(r *resident) {
		r.how.CompareAndSwap(byItself, byForce)
		r.send(protocol.Drain{Deadline: now, Reason: reason, URL: n.elsewhere(t, r.shard), RetryAfter: rand.N(spread + 1)})
		r.conn.Close(protocol.CloseMoved, reason+": this node stops")
	})
}

// depart begins to drain the node; calling it again changes nothing.
func (n *node) depart(reason string, timeout time.Duration) *departure {
	d, fresh := n.lifecycle.depart(reason, n.now(), timeout, n.residents.total())
	if fresh {
		n.logger.Info("drain begins", slog.String(logkey.Reason, reason), slog.Int(logkey.Sessions, d.atStart),
			slog.Time(logkey.Deadline, d.deadline))
		n.readiness.tell()
		n.reporter.Changed()
	}
	n.stirred.tell()
	return d
}
