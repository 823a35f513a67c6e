package socket

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	miniserver "github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidegate/tidegate/internal/kafka/kafkatest"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/internal/redisconn"
)

func testRedis(t *testing.T, w *world) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{w.redis.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestWithRedisAwayATokenProvesASessionAndOthersWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--redis-timeout=200ms")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	ada.send("bob", "m0")
	bob.receive("ada", "m0")
	a.redis.cut()
	// Those who are here go on.
	ada.send("bob", "m1")
	bob.receive("ada", "m1")
	// A token proves the session.
	back := bob.resume(a.url())
	bob.closedWith(protocol.CloseMoved)
	if !back.welcome.Resumed || back.welcome.Epoch <= bob.welcome.Epoch {
		t.Errorf("with Redis away the welcome is %+v after epoch %d", back.welcome, bob.welcome.Epoch)
	}
	again := back.resume(a.url())
	back.closedWith(protocol.CloseMoved)
	if again.welcome.Epoch <= back.welcome.Epoch {
		t.Errorf("a second resume got epoch %d after %d: the older session would not close", again.welcome.Epoch, back.welcome.Epoch)
	}
	ada.send("bob", "m2")
	again.receive("ada", "m2")
	// A stranger cannot be told apart from a client whose record nobody can read.
	stranger, err := dial(t, a.url(), "eve", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := next[protocol.Error](stranger); got.Code != protocol.CodeUnavailable || got.RetryAfter <= 0 {
		t.Errorf("a newcomer was answered %+v, want unavailable with a wait", got)
	}
	stranger.closedWith(protocol.CloseOverload)
	ada.write(protocol.Send{ID: "m3", To: "unknown", Payload: []byte(`1`)})
	if got := next[protocol.Error](ada); got.Code != protocol.CodeUnavailable || got.ID != "m3" || got.RetryAfter <= 0 {
		t.Errorf("a message to a client that nobody can look up was answered %+v", got)
	}
	a.redis.mend()
	eventually(t, "newcomers are let in again", func() bool {
		p, err := dial(t, a.url(), "eve", nil)
		if err != nil {
			return false
		}
		switch frame := (<-p.frames).(type) {
		case protocol.Welcome:
			return true
		case protocol.Error:
			return false
		default:
			t.Fatalf("a newcomer got %#v", frame)
			return false
		}
	})
}

func TestARedisThatLostItsDataGetsTheSessionsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada := connect(t, a.url(), "ada", nil)
	ada.send("ada", "m")
	ada.receive("ada", "m")
	// What the node has not known it cannot miss: it must have read the mark once, and have come back to read it again.
	readings := countMarks(w)
	eventually(t, "the node has read the fleet's mark", func() bool { return readings.Load() >= 2 })
	w.redis.FlushAll()
	eventually(t, "ada's record is written anew", func() bool { return w.redis.Exists(keys.Session(kafkatest.Fleet(), "ada")) })
	w.mark(0)
	// A client whose token is lost too still gets a higher epoch: the log tells it.
	again := connect(t, a.url(), "ada", nil)
	if again.welcome.Epoch <= ada.welcome.Epoch {
		t.Errorf("after the loss the epoch is %d, before it %d: the older session would win", again.welcome.Epoch, ada.welcome.Epoch)
	}
	ada.closedWith(protocol.CloseReplaced)
}

// countMarks counts how often the fleet's mark is read from now on.
func countMarks(w *world) *atomic.Int64 {
	var n atomic.Int64
	w.redis.Server().SetPreHook(func(_ *miniserver.Peer, cmd string, args ...string) bool {
		if cmd == "GET" && args[0] == keys.Marker(kafkatest.Fleet()) {
			n.Add(1)
		}
		return false
	})
	return &n
}

func TestWhileKafkaRefusesNothingIsAcceptedAndEverybodyStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	stop := w.kafka.Answer(kmsg.Produce, func(r kmsg.Request) (kmsg.Response, error, bool) {
		return kafkatest.RefuseProduce(r, kerr.NotEnoughReplicas.Code), nil, true
	})
	ada.write(protocol.Send{ID: "m0", To: "bob", Payload: []byte(`"payload of m0"`)})
	got := next[protocol.Error](ada)
	if got.ID != "m0" || got.Code != protocol.CodeUnavailable || got.RetryAfter <= 0 {
		t.Fatalf("with the log away a message was answered %+v, want unavailable with a wait", got)
	}
	ada.write(protocol.Send{ID: "m1", To: "bob", Payload: []byte(`"payload of m1"`)})
	if got := next[protocol.Error](ada); got.ID != "m1" {
		t.Fatalf("a later message was answered %+v: it would overtake the first", got)
	}
	bob.quiet()
	stop()
	for _, id := range []string{"m0", "m1"} {
		eventually(t, id+" is accepted", func() bool {
			ada.write(protocol.Send{ID: id, To: "bob", Payload: fmt.Appendf(nil, "%q", "payload of "+id)})
			for {
				switch f := (<-ada.frames).(type) {
				case protocol.Accepted:
					return f.ID == id
				case protocol.Error:
					return false
				}
			}
		})
	}
	bob.receive("ada", "m0")
	bob.receive("ada", "m1")
	bob.quiet()
}
