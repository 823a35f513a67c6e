package move

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHeatIsNotedForShardsBeyondTheMemory(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1)
	got := NoteHeat(nil, []Change{{Shard: 2, Reason: ReasonHeat}, {Shard: 5, Reason: ReasonReady}}, now)
	if diff := cmp.Diff([]time.Time{{}, {}, now}, got); diff != "" {
		t.Errorf("heated (-want +got):\n%s", diff)
	}
}

func TestChangesReadWellInLogs(t *testing.T) {
	t.Parallel()
	var line strings.Builder
	logger := slog.New(slog.NewTextHandler(&line, nil))
	logger.Info("moved", slog.Any("change", Change{Shard: 3, Kind: Flip, From: "a", To: "b", Reason: ReasonReady}))
	want := "change.shard=3 change.kind=flip change.from=a change.to=b change.reason=ready"
	if !strings.Contains(line.String(), want) {
		t.Errorf("log line %q lacks %q", line.String(), want)
	}
	if got := Kind(0).String() + Kind(99).String(); got != "unknownunknown" {
		t.Errorf("kinds that do not exist are called %q", got)
	}
}
