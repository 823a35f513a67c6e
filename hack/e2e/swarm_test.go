//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/demo/swarm"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/keys"
	"github.com/tidegate/tidegate/internal/ledger"
	"github.com/tidegate/tidegate/socket/client"
)

// crowd is a swarm of real clients of one band, with its ledger and with taps on every connection.
type crowd struct {
	band  *band
	swarm *swarm.Swarm
	book  *ledger.Ledger
	taps  *taps
	end   func()
}

// talk is how many messages a second each client of a story sends.
const talk = 0.5

// crowd lets clients come to the band; they leave when the story ends.
func (b *band) crowd(t *testing.T, clients int) *crowd {
	t.Helper()
	return b.crowdBy(t, clients, balancerPublic, nil)
}

// crowdBy lets clients come that ask this address where to go; through replaces the address of a node, nil leaves it.
func (b *band) crowdBy(t *testing.T, clients int, address string, through func(*http.Request) error) *crowd {
	t.Helper()
	sign := b.c.signer(t)
	book, listening := ledger.New(), newTaps()
	route := way{
		fleet: b.id, through: through, resolve: &http.Transport{DialContext: b.c.dial(nil), MaxIdleConnsPerHost: 32},
		// A tap judges a connection by its first answer: none may have been used before.
		connect: &http.Transport{DialContext: b.c.dial(listening.wrap), DisableKeepAlives: true},
	}
	web := &http.Client{Transport: route}
	c := &crowd{band: b, book: book, taps: listening, swarm: swarm.New(swarm.Options{
		Resolve: client.HTTPResolver(web, address), Book: book, HTTP: web, Seed: 1,
		Token: sign,
	})}
	c.swarm.Want(clients, talk)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.swarm.Run(ctx) })
	c.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		route.resolve.CloseIdleConnections()
	})
	t.Cleanup(c.end)
	c.connected(t, clients)
	return c
}

// way is how a crowd reaches its fleet. It adds the fleet to the questions where a client belongs: several are served.
type way struct {
	fleet            fleet.ID
	resolve, connect *http.Transport
	through          func(*http.Request) error
}

// RoundTrip passes the request on.
func (w way) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if strings.HasSuffix(r.URL.Path, keys.PathResolve) {
		query := r.URL.Query()
		query.Set(keys.QueryFleet, w.fleet.String())
		r.URL.RawQuery = query.Encode()
		return w.resolve.RoundTrip(r)
	}
	if w.through != nil {
		if err := w.through(r); err != nil {
			return nil, err
		}
	}
	return w.connect.RoundTrip(r)
}

// want changes how many clients there are.
func (c *crowd) want(t *testing.T, clients int) {
	t.Helper()
	c.swarm.Want(clients, talk)
	c.connected(t, clients)
}

// connected waits until every one of so many clients has a connection.
func (c *crowd) connected(t *testing.T, clients int) time.Duration {
	t.Helper()
	return eventually(t, 3*time.Minute, fmt.Sprintf("%d clients of %s are connected", clients, c.band.id), func() error {
		if s := c.swarm.Stats(); s.Clients != clients || s.Connected != clients {
			return fmt.Errorf("%d of %d clients are connected, %d wanted", s.Connected, s.Clients, clients)
		}
		return nil
	})
}

// flow waits until so many more messages were accepted.
func (c *crowd) flow(t *testing.T, messages uint64) time.Duration {
	t.Helper()
	before := c.swarm.Stats().Accepted
	return eventually(t, 3*time.Minute, fmt.Sprintf("%d messages of %s are accepted", messages, c.band.id), func() error {
		if n := c.swarm.Stats().Accepted - before; n < messages {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
}

// settle lets the crowd fall silent and judges the books: nothing that was accepted may be missing or out of order.
func (c *crowd) settle(t *testing.T) {
	t.Helper()
	s := c.swarm.Stats()
	c.swarm.Want(s.Clients, 0)
	eventually(t, 2*time.Minute, "every message of "+c.band.id.String()+" is settled", func() error {
		if !c.swarm.Quiet() {
			return fmt.Errorf("the books say %s", c.book.Report())
		}
		return nil
	})
	s, report := c.swarm.Stats(), c.book.Report()
	t.Logf("ledger: %s; connects %d, moves %d, losses %d, gaps said %d, longest without a connection %s",
		report, s.Connects, s.Moves, s.Losses, s.Gaps, rounded(s.LongestGap))
	if report.Accepted == 0 {
		t.Errorf("nothing was accepted: the ledger proves nothing")
	}
	if report.Missing > 0 || report.Inversions > 0 || report.Strange > 0 {
		t.Errorf("lost or disordered: %s", report)
	}
	town.figures.note(t.Name()+": ledger", fmt.Sprintf("accepted %d, lost %d, inversions %d, duplicates %d", report.Accepted, report.Missing, report.Inversions, report.Duplicates))
	town.figures.note(t.Name()+": longest a client was without a connection", s.LongestGap)
}

// uncut judges how the connections ended since then: none without a word. Everybody who stays must be connected again: a
// client that left a session in silence and is still there was cut; one that is not there any more has gone by itself.
func (c *crowd) uncut(t *testing.T, since time.Time) {
	t.Helper()
	ends, present := c.taps.since(since), c.taps.present()
	told, cut, codes := 0, 0, map[uint16]int{}
	for _, e := range ends {
		if e.code != 0 {
			codes[e.code]++
		}
		if e.told {
			told++
		}
		if e.cut() || e.silent() && present[e.arrival.client] {
			cut++
			t.Errorf("a session was cut without a word: %s", e)
		}
	}
	t.Logf("%d connections ended, %d of them told where and when, %d cut; closed by the nodes with %v", len(ends), told, cut, codes)
	town.figures.note(t.Name()+": connections ended, told, cut without a word", fmt.Sprintf("%d, %d, %d", len(ends), told, cut))
}

// resumed judges what became of the sessions of nodes that left since then: each client that is still there must have
// gone on elsewhere, from where it was, once it was told to go.
func (c *crowd) resumed(t *testing.T, since time.Time, nodes ...string) {
	t.Helper()
	present, began := c.taps.present(), c.taps.began()
	count := 0
	for _, e := range c.taps.since(since) {
		from := e.at
		if e.told {
			from = e.toldAt
		}
		if !slices.Contains(nodes, e.arrival.node) || !present[e.arrival.client] {
			continue
		}
		if !slices.ContainsFunc(began[e.arrival.client], func(a arrival) bool {
			return a.node != e.arrival.node && a.at.After(from) && (a.resumed || !a.asked)
		}) {
			t.Errorf("a session did not go on elsewhere: %s; sessions of this client: %+v", e, began[e.arrival.client])
		}
		count++
	}
	if count == 0 {
		t.Errorf("no client was on any of %v: nothing had to go on elsewhere", nodes)
	}
	town.figures.note(t.Name()+": sessions of leaving nodes that went on elsewhere", count)
}
