package lead_test

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/tidegate/tidegate/balancer/lead"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/redisconn"
)

func TestMain(m *testing.M) {
	// klog, which client-go's election brings, flushes from a goroutine that lives as long as the process.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"))
}

var quiet = slog.New(slog.DiscardHandler)

// start is a server clock far from any local one: nothing may depend on a local clock.
var start = time.UnixMilli(1_900_000_000_000)

func connect(t *testing.T) (*miniredis.Miniredis, redis.UniversalClient) {
	t.Helper()
	server := miniredis.RunT(t)
	server.SetTime(start)
	client, err := redisconn.Open(redisconn.Options{Addrs: []string{server.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, client
}

// replica is one candidate; terms sends each of its terms, and stop ends it as a shutdown does.
type replica struct {
	elector lead.Elector
	terms   chan lead.Term
	ends    chan struct{}
	cancel  context.CancelFunc
	done    chan error
}

func run(t *testing.T, elector lead.Elector) *replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{elector, make(chan lead.Term, 16), make(chan struct{}, 16), cancel, make(chan error, 1)}
	go func() {
		r.done <- elector.Run(ctx, func(ctx context.Context, term lead.Term) {
			r.terms <- term
			<-ctx.Done()
			r.ends <- struct{}{}
		})
	}()
	t.Cleanup(r.cancel)
	return r
}

func (r *replica) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
	}
	panic("unreachable")
}

const ttl = 300 * time.Millisecond

func TestLeaseMovesToTheNextReplicaWithAHigherFence(t *testing.T) {
	_, client := connect(t)
	a := run(t, lead.NewRedis(client, "a", ttl, quiet))
	first := await(t, "leader", a.terms)
	if want := uint64(start.UnixMilli()); first.Fence != want {
		t.Errorf("first fence %d, want the server's milliseconds %d", first.Fence, want)
	}
	b := run(t, lead.NewRedis(client, "b", ttl, quiet))
	a.stop(t)
	if second := await(t, "second leader", b.terms); second.Fence <= first.Fence {
		t.Errorf("fence %d after %d: it must grow even within one millisecond", second.Fence, first.Fence)
	}
	if got := b.elector.Leader(); !strings.HasPrefix(got, "b_") {
		t.Errorf("leader %q, want b", got)
	}
	b.stop(t)
}

func TestFenceGrowsThoughRedisLostItsData(t *testing.T) {
	server, client := connect(t)
	a := run(t, lead.NewRedis(client, "a", ttl, quiet))
	first := await(t, "leader", a.terms)
	// The server comes back empty and with a clock an hour behind, as a replica may.
	server.FlushAll()
	server.SetTime(start.Add(-time.Hour))
	await(t, "end of the term whose lease is gone", a.ends)
	if second := await(t, "second term", a.terms); second.Fence <= first.Fence {
		t.Errorf("fence %d after %d: followers would ignore the new term", second.Fence, first.Fence)
	}
	a.stop(t)
}

func TestDeadLeaderIsReplacedWhenItsLeaseRunsOut(t *testing.T) {
	server, client := connect(t)
	until := start.Add(time.Minute).UnixMilli()
	server.HSet(keys.LeaderLease, "holder", "dead", "fence", "1", "until", strconv.FormatInt(until, 10))
	b := run(t, lead.NewRedis(client, "b", ttl, quiet))
	for b.elector.Leader() != "dead" {
		select {
		case term := <-b.terms:
			t.Fatalf("took the lease of a leader that may still live: %+v", term)
		case <-time.After(time.Millisecond):
		}
	}
	server.SetTime(start.Add(time.Minute))
	await(t, "leader after the lease ran out", b.terms)
	b.stop(t)
}

func TestFenceThatCannotGrowIsSaidInWords(t *testing.T) {
	server, client := connect(t)
	if err := server.Set(keys.LeaderFence, strconv.FormatUint(1<<60, 10)); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	elector := lead.NewRedis(client, "a", ttl, slog.New(slog.NewTextHandler(&cancelWriter{&out, cancel}, nil)))
	go func() {
		defer close(done)
		_ = elector.Run(ctx, func(context.Context, lead.Term) { t.Error("led with a token that cannot grow") })
	}()
	await(t, "end", done)
	if !strings.Contains(out.String(), keys.LeaderFence) {
		t.Errorf("log %q does not name the key to delete", out.String())
	}
}

func TestRaisedFenceIsPassedByTheNextTerm(t *testing.T) {
	server, client := connect(t)
	used := uint64(start.Add(time.Hour).UnixMilli())
	for range 2 {
		if err := lead.Raise(t.Context(), client, used); err != nil {
			t.Fatal(err)
		}
		if err := lead.Raise(t.Context(), client, 7); err != nil {
			t.Fatal(err)
		}
	}
	a := run(t, lead.NewRedis(client, "a", ttl, quiet))
	if term := await(t, "leader", a.terms); term.Fence != used+1 {
		t.Errorf("fence %d, want %d: nodes would ignore a lower one", term.Fence, used+1)
	}
	a.stop(t)
	if err := lead.Raise(t.Context(), client, 1<<63); err == nil {
		t.Error("a token that nothing can pass was taken over: no leader could be elected ever again")
	}
	server.Close()
	if err := lead.Raise(t.Context(), client, used); err == nil {
		t.Error("a token was raised by nobody")
	}
}

// cancelWriter ends the elector at its first log line.
type cancelWriter struct {
	out    *strings.Builder
	cancel context.CancelFunc
}

func (w *cancelWriter) Write(p []byte) (int, error) {
	defer w.cancel()
	return w.out.Write(p)
}

func TestKubernetesTermsTakeTheirFenceFromRedis(t *testing.T) {
	_, client := connect(t)
	lease := &memoryLease{}
	lock := func(id string) resourcelock.Interface { return &memoryLock{lease: lease, id: id} }
	// client-go wants whole seconds in the record, so that a shorter lease would end at once.
	const ttl = 2 * time.Second
	a := run(t, lead.NewKubernetes(lock("a"), client, ttl, quiet))
	first := await(t, "leader", a.terms)
	b := run(t, lead.NewKubernetes(lock("b"), client, ttl, quiet))
	a.stop(t)
	second := await(t, "second leader", b.terms)
	if first.Fence == 0 || second.Fence <= first.Fence {
		t.Errorf("fences %d, then %d: they must come from Redis and grow", first.Fence, second.Fence)
	}
	if got := b.elector.Leader(); got != "b" {
		t.Errorf("leader %q, want b", got)
	}
	b.stop(t)
}

func TestKubernetesFollowerStopsWithoutEverLeading(t *testing.T) {
	_, client := connect(t)
	lease := &memoryLease{}
	a := run(t, lead.NewKubernetes(&memoryLock{lease: lease, id: "a"}, client, time.Minute, quiet))
	await(t, "leader", a.terms)
	b := run(t, lead.NewKubernetes(&memoryLock{lease: lease, id: "b"}, client, time.Minute, quiet))
	b.stop(t)
	if len(b.terms) != 0 {
		t.Error("a follower led")
	}
	a.stop(t)
}

func TestKubernetesLeaderWithoutRedisDoesNotLead(t *testing.T) {
	server, client := connect(t)
	server.SetError("LOADING Redis is loading the dataset in memory")
	a := run(t, lead.NewKubernetes(&memoryLock{lease: &memoryLease{}, id: "a"}, client, 2*time.Second, quiet))
	for a.elector.Leader() != "a" {
		<-time.After(time.Millisecond)
	}
	if len(a.terms) != 0 {
		t.Fatal("led without a token: its writes could not be told from an older leader's")
	}
	server.SetError("")
	await(t, "leader once Redis answers", a.terms)
	a.stop(t)
}

func TestKubernetesLeaseTooShortIsAnError(t *testing.T) {
	_, client := connect(t)
	if err := lead.NewKubernetes(&memoryLock{lease: &memoryLease{}, id: "a"}, client, 0, quiet).Run(t.Context(), nil); err == nil {
		t.Error("a lease of no time was accepted")
	}
}
