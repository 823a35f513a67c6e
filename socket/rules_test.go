package socket

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/record"
	"github.com/tidegate/tidegate/internal/shard"
)

func TestWhichOfTwoSessionsIsOlder(t *testing.T) {
	t.Parallel()
	own := start{epoch: 5, session: "s", node: "a", offset: 100}
	tests := map[string]struct {
		own, other start
		older      bool
	}{
		"a higher epoch":                                    {own, start{epoch: 6, node: "b", offset: 90}, true},
		"a lower epoch later in the log":                    {own, start{epoch: 4, node: "b", offset: 200}, false},
		"its own start":                                     {own, own, false},
		"the same epoch elsewhere, later in the log":        {own, start{epoch: 5, node: "b", offset: 101}, true},
		"the same epoch elsewhere, earlier in the log":      {own, start{epoch: 5, node: "b", offset: 99}, false},
		"the same epoch, before its own start was read":     {start{epoch: 5, node: "a", offset: -1}, start{epoch: 5, node: "b", offset: 99}, false},
		"nothing is known of others":                        {own, start{offset: -1}, false},
		"a higher epoch on the same node":                   {own, start{epoch: 6, node: "a", offset: 101}, true},
		"the same epoch on the same node, later in the log": {own, start{epoch: 5, session: "z", node: "a", offset: 300}, true},
		"the same epoch on the same node, earlier":          {own, start{epoch: 5, session: "z", node: "a", offset: 30}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := older(tt.own, tt.other); got != tt.older {
				t.Errorf("older is %t, want %t", got, tt.older)
			}
		})
	}
}

func TestStartsAreForgottenWithTheirShardAndTheirTime(t *testing.T) {
	t.Parallel()
	s := newStarts()
	began := time.Unix(1000, 0)
	s.note(1, record.Session{Client: "ada", Epoch: 3}, 5, began)
	s.note(1, record.Session{Client: "ada", Epoch: 2}, 6, began)
	s.note(2, record.Session{Client: "bob", Epoch: 4}, 7, began.Add(time.Minute))
	s.note(1, record.Session{Client: "ada", Epoch: 3}, 4, began)
	if got := s.newest(1, "ada").offset; got != 5 {
		t.Errorf("ada's newest start stands at %d, want 5: reading the shard again must not bring an older one back", got)
	}
	if got := s.newest(1, "ada").epoch; got != 3 {
		t.Errorf("ada's newest epoch is %d, want 3: a late record of an older one must not count", got)
	}
	s.keep(map[shard.ID]struct{}{1: {}, 2: {}}, began.Add(time.Second))
	if s.newest(1, "ada").epoch != 0 || s.newest(2, "bob").epoch != 4 {
		t.Error("what is older than the window is not forgotten, or what is younger is")
	}
	s.keep(map[shard.ID]struct{}{1: {}}, began)
	if s.newest(2, "bob").epoch != 0 {
		t.Error("a shard that is not read any more still takes memory")
	}
}

func TestADrainBeginsOnceAndIsCounted(t *testing.T) {
	t.Parallel()
	l := newLifecycle()
	began := time.Unix(1000, 0)
	if s := l.summary("a", began, 3); s.State != fleet.Starting || s.Done || s.Started != nil {
		t.Errorf("before a drain the summary is %+v", s)
	}
	if !l.serve() || l.serve() {
		t.Error("a node starts to serve other than once")
	}
	first, fresh := l.depart("drain", began, time.Minute, 9)
	second, again := l.depart("shutdown", began.Add(time.Second), time.Hour, 1)
	if !fresh || again || first != second {
		t.Error("a second drain is not the first one")
	}
	if l.serve() {
		t.Error("a draining node serves again")
	}
	l.left(byItself)
	l.left(inTurn)
	l.left(byForce)
	if !l.hurried() || l.hurried() {
		t.Error("hurry is told other than once")
	}
	if !l.finish(began.Add(5*time.Second)) || l.finish(began) {
		t.Error("the drain ends other than once")
	}
	<-first.done
	s := l.summary("a", began.Add(time.Hour), 6)
	if s.Sessions != 9 || s.Moved != 1 || s.Closed != 1 || s.Forced != 1 || s.Left != 6 || s.ElapsedMillis != 5000 || !s.Hurried || s.Reason != "drain" {
		t.Errorf("the summary is %+v", s)
	}
}

func TestWhereAClientIsSent(t *testing.T) {
	t.Parallel()
	n := &node{id: "a"}
	table := &shard.Table{
		Rows:  []shard.Row{{Owner: "b"}, {Owner: "a", Next: "b"}, {Owner: "a"}, {Owner: "c", Next: "a"}},
		Nodes: map[fleet.NodeID]shard.Node{"a": {URL: "ws://a"}, "b": {URL: "ws://b"}, "c": {URL: "ws://c"}},
	}
	for id, want := range map[shard.ID]string{0: "ws://b", 1: "ws://b", 2: "", 3: "ws://c", 4: ""} {
		if got := n.elsewhere(table, id); got != want {
			t.Errorf("a client of shard %d is sent to %q, want %q", id, got, want)
		}
	}
}

func TestHowManyTakeAndHowManySend(t *testing.T) {
	t.Parallel()
	m := &mover{node: &node{id: "a"}}
	nodes := map[fleet.NodeID]shard.Node{
		"a": {State: fleet.Serving}, "b": {State: fleet.Serving}, "c": {State: fleet.Serving}, "d": {State: fleet.Draining}, "e": {State: fleet.Starting},
	}
	tests := map[string]struct {
		owners           []fleet.NodeID
		all              bool
		targets, sources int
	}{
		"in a drain everybody who serves takes":             {nil, true, 2, 2},
		"a joiner takes from all that serve":                {[]fleet.NodeID{"e"}, false, 1, 2},
		"owners of one shard may send clients of another":   {[]fleet.NodeID{"b", "c"}, false, 2, 2},
		"a starting owner counts as one who takes in drain": {[]fleet.NodeID{"b", "c", "e"}, true, 3, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			owners := map[fleet.NodeID]struct{}{}
			for _, id := range tt.owners {
				owners[id] = struct{}{}
			}
			targets, sources := m.flow(&shard.Table{Nodes: nodes}, owners, tt.all)
			if targets != tt.targets || sources != tt.sources {
				t.Errorf("%d take from %d, want %d from %d", targets, sources, tt.targets, tt.sources)
			}
		})
	}
}

func TestWhatTheClientIsToldWhenItsMessageIsNotTaken(t *testing.T) {
	t.Parallel()
	for _, e := range []*ending{overloaded("why", nil), away()} {
		frame, ok := e.frame.(protocol.Error)
		if !ok || frame.RetryAfter < comeBack || frame.RetryAfter > 2*comeBack {
			t.Errorf("%+v does not say when to come back", e)
		}
		if e.Error() != e.reason {
			t.Errorf("%+v hides its reason", e)
		}
	}
}
