package process_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/demo/actuator/process"
	"github.com/tidegate/tidegate/internal/fleet"
)

func TestRemoveDrainsThenTerminates(t *testing.T) {
	f := newFixture(t, "good", nil)
	id := f.start(t, true)
	if err := f.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	e := f.exit(t, id)
	if e.Code != 0 || !e.Asked || e.Forced || e.Drain <= 0 || f.LongestDrain() != e.Drain {
		t.Errorf("the exit is noted as %+v: want code 0, asked, not forced, with its drain", e)
	}
	if log := f.log(t, id); !strings.Contains(log, "drained\nterminated") {
		t.Errorf("the node's log says %q: want the drain, with its own nonce, before SIGTERM", log)
	}
	if len(f.Running()) != 0 {
		t.Errorf("%v still run", f.Running())
	}
	if err := f.Remove(t.Context(), id); err == nil {
		t.Error("a node that is gone was removed again")
	}
}

func TestADrainThatNeverEndsIsCutAtTheGracePeriod(t *testing.T) {
	f := newFixture(t, "endless", func(c *process.Config) { c.Grace = 300 * time.Millisecond })
	id := f.start(t, true)
	if err := f.Remove(t.Context(), id); err != nil {
		t.Fatalf("SIGTERM still ends it within the kubelet's last seconds: %v", err)
	}
	if e := f.exit(t, id); e.Forced || e.Drain < 300*time.Millisecond {
		t.Errorf("the exit is noted as %+v: want the whole grace period given to the drain, and no SIGKILL", e)
	}
}

func TestANodeThatIgnoresSIGTERMIsKilled(t *testing.T) {
	f := newFixture(t, "stubborn", func(c *process.Config) { c.Grace = 100 * time.Millisecond })
	id := f.start(t, true)
	if err := f.Remove(t.Context(), id); err == nil || !strings.Contains(err.Error(), string(id)) {
		t.Errorf("got %v: a drain that was cut short must be said", err)
	}
	if e := f.exit(t, id); !e.Forced || e.Code != -1 || !strings.Contains(e.Status, "kill") {
		t.Errorf("the exit is noted as %+v: want SIGKILL", e)
	}
}

func TestAnEndedContextCutsTheDrainShort(t *testing.T) {
	f := newFixture(t, "endless", nil)
	id := f.start(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	if e := f.exit(t, id); e.Forced || e.Code != 0 {
		t.Errorf("the exit is noted as %+v: want SIGTERM to have been enough", e)
	}
}

func TestANodeThatDiesWhileDrainingIsGone(t *testing.T) {
	f := newFixture(t, "dies-draining", nil)
	id := f.start(t, true)
	if err := f.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if e := f.exit(t, id); e.Code != 3 || !e.Asked || e.Drain <= 0 {
		t.Errorf("the exit is noted as %+v: want code 3", e)
	}
}

func TestANodeThatDiesByItselfIsNoted(t *testing.T) {
	f := newFixture(t, "dies", nil)
	id := f.start(t, false)
	f.wait(t, "its exit is noted", func() bool { return len(f.Exits()) == 1 })
	if e := f.exit(t, id); e.Code != 7 || e.Asked {
		t.Errorf("the exit is noted as %+v: want code 7, not asked for", e)
	}
}

func TestKillIsWithoutAWord(t *testing.T) {
	f := newFixture(t, "good", nil)
	id := f.start(t, true)
	if err := f.Kill(id); err != nil {
		t.Fatal(err)
	}
	f.wait(t, "the killed node is gone", func() bool { return len(f.Running()) == 0 })
	if e := f.exit(t, id); e.Asked || e.Code != -1 {
		t.Errorf("the exit is noted as %+v: chaos is nobody's order", e)
	}
	if log := f.log(t, id); strings.Contains(log, "terminated") || strings.Contains(log, "drained") {
		t.Errorf("the node was warned: %q", log)
	}
	if err := f.Kill(id); err == nil {
		t.Error("a node that is gone was killed")
	}
}

func TestStopLeavesNobody(t *testing.T) {
	f := newFixture(t, "good", nil)
	for range 3 {
		f.start(t, true)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range f.Exits() {
		if e.Code != 0 || !e.Asked {
			t.Errorf("an exit is noted as %+v", e)
		}
	}
	if len(f.Exits()) != 3 || len(f.Running()) != 0 {
		t.Errorf("%d ended and %d run", len(f.Exits()), len(f.Running()))
	}
	if _, err := f.Start(t.Context()); err == nil {
		t.Error("a node was started after the stop")
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

func TestStopKillsWhoeverStays(t *testing.T) {
	f := newFixture(t, "stubborn", nil)
	id := f.start(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Stop(ctx); err == nil || !strings.Contains(err.Error(), string(id)) {
		t.Errorf("got %v: want the node that had to be killed", err)
	}
	if len(f.Running()) != 0 {
		t.Errorf("%v outlive the demo", f.Running())
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	f := newFixture(t, "good", func(c *process.Config) { c.Executable = filepath.Join(c.LogDir, "absent") })
	if _, err := f.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("got %v: want the program that is missing", err)
	}
	f = newFixture(t, "good", func(c *process.Config) {
		c.Command = func(fleet.NodeID, string) (process.Launch, error) { return process.Launch{}, context.DeadlineExceeded }
	})
	if _, err := f.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "node-1") {
		t.Errorf("got %v: want the node", err)
	}
	if len(f.Running()) != 0 {
		t.Error("a node that could not be started runs")
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	good := process.Config{
		Prefix: "node", LogDir: t.TempDir(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Command: func(fleet.NodeID, string) (process.Launch, error) { return process.Launch{}, nil },
	}
	for says, change := range map[string]func(*process.Config){
		"command":    func(c *process.Config) { c.Command = nil },
		"prefix":     func(c *process.Config) { c.Prefix = "Node!" },
		"log folder": func(c *process.Config) { c.LogDir = filepath.Join(c.LogDir, "absent") },
		"grace":      func(c *process.Config) { c.Grace = -1 },
	} {
		c := good
		change(&c)
		if _, err := process.New(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", says, err)
		}
	}
}
