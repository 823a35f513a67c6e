package shard

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/fleet"
)

func testTable() *Table {
	return &Table{
		Fleet: fleet.ID{Namespace: "shop", Name: "chat"}, Version: 9, Fence: 1_700_000_000_000,
		Rows: []Row{{Owner: "a", Version: 3}, {Owner: "a", Next: "b", Version: 9}, {}},
		Nodes: map[fleet.NodeID]Node{
			"a": {URL: "ws://a:1/ws", State: fleet.Serving}, "b": {URL: "ws://b:1/ws", State: fleet.Starting},
		},
	}
}

func drawTable(t *rapid.T) *Table {
	table := &Table{
		Fleet:   fleet.ID{Namespace: "shop", Name: "chat"},
		Version: rapid.Uint64Range(0, maxVersion).Draw(t, "version"), Fence: rapid.Uint64().Draw(t, "fence"),
		Nodes: map[fleet.NodeID]Node{},
	}
	names := []fleet.NodeID{""}
	for i := range rapid.IntRange(0, 5).Draw(t, "nodes") {
		name := fleet.NodeID(fmt.Sprintf("node-%d", i))
		names = append(names, name)
		table.Nodes[name] = Node{
			URL:   rapid.String().Draw(t, "url"),
			State: rapid.SampledFrom([]fleet.State{fleet.Starting, fleet.Serving, fleet.Leaving, fleet.Draining, fleet.Gone}).Draw(t, "state"),
			Limit: Limit{Sessions: rapid.IntRange(0, math.MaxInt32).Draw(t, "sessions"), Handshakes: rapid.IntRange(0, 2000).Draw(t, "handshakes")},
		}
	}
	for range rapid.IntRange(1, 20).Draw(t, "shards") {
		table.Rows = append(table.Rows, Row{
			Owner: rapid.SampledFrom(names).Draw(t, "owner"), Next: rapid.SampledFrom(names).Draw(t, "next"),
			Version: rapid.Uint64Range(0, maxVersion).Draw(t, "row version"),
		})
	}
	return table
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)
		body, err := table.Encode()
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		got, err := Decode(body)
		if err != nil {
			t.Fatalf("the next leader cannot read the table: %v", err)
		}
		if diff := cmp.Diff(table, got); diff != "" {
			t.Fatalf("the table changed on its way (-want +got):\n%s", diff)
		}
	})
}

// Leaders and nodes of two versions read each other's tables: an older one says nothing of limits and passes over them.
func TestATableWithoutLimitsReadsAsNoLimit(t *testing.T) {
	t.Parallel()
	body, err := testTable().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "limit") {
		t.Errorf("a node without a limit is told of one: %s", body)
	}
	got, err := Decode(body)
	if err != nil || got.Nodes["a"].Limit != (Limit{}) {
		t.Errorf("limit %+v, error %v: want none", got.Nodes["a"].Limit, err)
	}
}

func TestEqualTablesGiveEqualBytes(t *testing.T) {
	t.Parallel()
	first, err := testTable().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := testTable().Encode(); string(again) != string(first) {
			t.Fatalf("one table, two encodings:\n%s\n%s", first, again)
		}
	}
}

func TestACloneIsIndependent(t *testing.T) {
	t.Parallel()
	table := testTable()
	clone := table.Clone()
	clone.Rows[0].Owner = "b"
	clone.Nodes["c"] = Node{}
	if diff := cmp.Diff(testTable(), table); diff != "" {
		t.Errorf("a change of the clone reached the readers of the table:\n%s", diff)
	}
}

func TestAClientFindsItsOwner(t *testing.T) {
	t.Parallel()
	table := testTable()
	id, row := table.Row("alice")
	if id != Of("alice", 3) || row != table.Rows[id] {
		t.Errorf("alice is in shard %d with row %+v", id, row)
	}
	if got := table.OwnerURL(1); got != "ws://a:1/ws" {
		t.Errorf("shard 1 is at %q: a client would connect to the wrong node", got)
	}
	if got := table.OwnerURL(2); got != "" {
		t.Errorf("a shard without owner is at %q", got)
	}
}

func TestEncodeRefusesWhatDecodeWouldRefuse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*Table)
		want  string
	}{
		"an owner that the table does not hold": {func(t *Table) { t.Rows[2].Owner = "stranger" }, `shard 2 names a node that the table does not hold (owner "stranger"`},
		"a next that the table does not hold":   {func(t *Table) { t.Rows[2].Next = "stranger" }, `next "stranger"`},
		"no rows":                               {func(t *Table) { t.Rows = nil }, "0 rows: want 1 to 65536"},
		"no fleet":                              {func(t *Table) { t.Fleet = fleet.ID{} }, "fleet namespace"},
		"a state that does not exist":           {func(t *Table) { t.Nodes["a"] = Node{State: 77} }, `node "a": state(77) is unknown`},
		"a limit below nothing":                 {func(t *Table) { t.Nodes["a"] = Node{State: fleet.Serving, Limit: Limit{Sessions: -1}} }, `node "a": limit of -1 sessions`},
		"a limit beyond all nodes":              {func(t *Table) { t.Nodes["a"] = Node{State: fleet.Serving, Limit: Limit{Handshakes: math.MaxInt32 + 1}} }, "2147483648 handshakes/s: want 0 to 2147483647"},
		"a version that cannot grow":            {func(t *Table) { t.Version = math.MaxUint64 }, "version 18446744073709551615"},
		"a row version that cannot be written":  {func(t *Table) { t.Rows[0].Version = math.MaxInt64 }, "shard 0 has version 9223372036854775807"},
	} {
		table := testTable()
		test.spoil(table)
		if _, err := table.Encode(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v: want one with %q", name, err, test.want)
		}
	}
}

func TestDecodeRefusesATableThatCouldMisroute(t *testing.T) {
	t.Parallel()
	const nodes = `"nodes":[{"id":"a","url":"ws://a","state":"serving"}]`
	const head = `{"fleet":"shop/chat","version":1,"fence":1,` + nodes + `,`
	for name, test := range map[string]struct{ body, want string }{
		"nothing":                {``, "unexpected end"},
		"no JSON":                {`hello`, "invalid character"},
		"two tables":             {head + `"rows":[[0,-1,1]]}{}`, "after top-level value"},
		"no fleet":               {`{"version":1,` + nodes + `,"rows":[[0,-1,1]]}`, "fleet namespace"},
		"a bad fleet":            {`{"fleet":"chat",` + nodes + `,"rows":[[0,-1,1]]}`, "has no slash"},
		"no rows":                {head + `"rows":[]}`, "0 rows"},
		"too many rows":          {head + `"rows":[` + strings.Repeat(`[0,-1,1],`, MaxShards) + `[0,-1,1]]}`, "65537 rows"},
		"an owner outside":       {head + `"rows":[[1,-1,1]]}`, "shard 0: owner: place 1 is outside the 1 nodes"},
		"an owner below nobody":  {head + `"rows":[[-2,-1,1]]}`, "shard 0: owner: place -2"},
		"a next outside":         {head + `"rows":[[0,7,1]]}`, "shard 0: next owner: place 7"},
		"a short row":            {head + `"rows":[[0,-1,1],[0]]}`, "shard 1: row has 1 numbers"},
		"a long row":             {head + `"rows":[[0,-1,1,5]]}`, "shard 0: row has 4 numbers"},
		"a row that is null":     {head + `"rows":[null]}`, "shard 0: row has 0 numbers"},
		"a negative row version": {head + `"rows":[[0,-1,-1]]}`, "shard 0: version -1"},
		"a fraction":             {head + `"rows":[[0.5,-1,1]]}`, "cannot unmarshal"},
		"a node twice":           {`{"fleet":"shop/chat","nodes":[{"id":"a","state":"serving"},{"id":"a","state":"serving"}],"rows":[[0,-1,1]]}`, `node "a" appears twice`},
		"a node without id":      {`{"fleet":"shop/chat","nodes":[{"state":"serving"}],"rows":[[0,-1,1]]}`, `node ""`},
		"a node without state":   {`{"fleet":"shop/chat","nodes":[{"id":"a"}],"rows":[[0,-1,1]]}`, `node "a": state(0) is unknown`},
		"an unknown state":       {`{"fleet":"shop/chat","nodes":[{"id":"a","state":"happy"}],"rows":[[0,-1,1]]}`, `"happy" is unknown`},
		"a version at its end":   {`{"fleet":"shop/chat","version":18446744073709551615,` + nodes + `,"rows":[[0,-1,1]]}`, "version 18446744073709551615"},
		"a negative version":     {`{"fleet":"shop/chat","version":-1,` + nodes + `,"rows":[[0,-1,1]]}`, "cannot unmarshal"},
	} {
		if table, err := Decode([]byte(test.body)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: table %v, error %v: want an error with %q", name, table, err, test.want)
		}
	}
}

// Whatever decodes is a table that a leader can store again and that sends nobody outside it.
func FuzzDecodeTable(f *testing.F) {
	body, err := testTable().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"fleet":"shop/chat","version":1,"fence":1,"nodes":null,"rows":[[-1,-1,0]]}`))
	f.Add([]byte(`{"fleet":"a/b","nodes":[{"id":"a","state":"gone"}],"rows":[[0,0,9223372036854775807]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		table, err := Decode(body)
		if err != nil {
			return
		}
		for id := range table.Rows {
			if owner := table.Rows[id].Owner; owner != "" {
				if _, told := table.Nodes[owner]; !told {
					t.Fatalf("shard %d has owner %q, of which the table does not tell", id, owner)
				}
			}
		}
		again, err := table.Encode()
		if err != nil {
			t.Fatalf("a table that was read cannot be stored: %v", err)
		}
		same, err := Decode(again)
		if err != nil {
			t.Fatalf("a stored table cannot be read: %v", err)
		}
		if diff := cmp.Diff(table, same); diff != "" {
			t.Fatalf("the table changed on its way:\n%s", diff)
		}
	})
}

func bigTable() *Table {
	table := testTable()
	table.Rows = make([]Row, 1024)
	for i := range 100 {
		table.Nodes[fleet.NodeID(fmt.Sprintf("node-%d", i))] = Node{URL: fmt.Sprintf("ws://node-%d:8080/ws/connect", i), State: fleet.Serving}
	}
	for i := range table.Rows {
		table.Rows[i] = Row{Owner: fleet.NodeID(fmt.Sprintf("node-%d", i%100)), Version: uint64(i)}
	}
	return table
}

func BenchmarkEncode1024x100(b *testing.B) {
	b.ReportAllocs()
	table := bigTable()
	for b.Loop() {
		if _, err := table.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode1024x100(b *testing.B) {
	b.ReportAllocs()
	body, err := bigTable().Encode()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}
