package placement

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/balancer/policy"
	"github.com/tidegate/tidegate/internal/load"
	"github.com/tidegate/tidegate/internal/shard"
)

// burdened is a node whose second shard is nearly all of its load.
func burdened(cpu float64) []load.Node {
	list := nodes(8200, cpu, 0.3)
	list[0].Shards = []load.Shard{{ID: 0, Connections: 200}, {ID: 1, Connections: 8000}}
	return list
}

func TestAHeavyShardNearTheLimitIsToldOfOnce(t *testing.T) {
	t.Parallel()
	random, changes, pic := rand.New(rand.NewPCG(1, 2)), 0, Picture{}
	for range 600 {
		before := pic.Heavy
		cpu := 0.82 * (1 + 0.05*random.NormFloat64())
		list := burdened(cpu)
		list[0].Connections = int(1e4 * cpu)
		pic = seen(policy.Default(), perClient(), 1, list, pic)
		if !slices.Equal(before, pic.Heavy) {
			changes++
		}
	}
	if changes != 1 || !slices.Equal(pic.Heavy, []shard.ID{1}) {
		t.Errorf("%d words in ten minutes, at last of %v: want one, of shard 1", changes, pic.Heavy)
	}
}

func TestAHeavyShardIsOneUntilItsNodeIsLightForAMinute(t *testing.T) {
	t.Parallel()
	pic := seen(policy.Default(), perClient(), 30, burdened(0.9), Picture{})
	if !slices.Equal(pic.Heavy, []shard.ID{1}) {
		t.Fatalf("heavy are %v, want shard 1", pic.Heavy)
	}
	light := burdened(0.4)
	light[0].Connections, light[0].Shards[1].Connections = 4000, 3800
	if pic = seen(policy.Default(), perClient(), 50, light, pic); len(pic.Heavy) != 1 {
		t.Error("it is over within the minute")
	}
	if pic = seen(policy.Default(), perClient(), 30, light, pic); len(pic.Heavy) != 0 {
		t.Errorf("%v is still heavy", pic.Heavy)
	}
}
