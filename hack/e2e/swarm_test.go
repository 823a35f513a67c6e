//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	sign := b.c.signer(t)
	book, listening := ledger.New(), newTaps()
	transport := &http.Transport{DialContext: b.c.dial(listening.wrap), MaxIdleConnsPerHost: 32}
	web := &http.Client{Transport: named{fleet: b.id, next: transport}}
	c := &crowd{band: b, book: book, taps: listening, swarm: swarm.New(swarm.Options{
		Resolve: client.HTTPResolver(web, balancerPublic), Book: book, HTTP: web, Seed: 1,
		Token: sign,
	})}
	c.swarm.Want(clients, talk)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.swarm.Run(ctx) })
	c.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		transport.CloseIdleConnections()
	})
	t.Cleanup(c.end)
	c.connected(t, clients)
	return c
}

// named adds the fleet to the questions where a client belongs: several fleets are served.
type named struct {
	fleet fleet.ID
	next  http.RoundTripper
}

// RoundTrip passes the request on.
func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, keys.PathResolve) {
		r = r.Clone(r.Context())
		query := r.URL.Query()
		query.Set(keys.QueryFleet, n.fleet.String())
		r.URL.RawQuery = query.Encode()
	}
	return n.next.RoundTrip(r)
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

// uncut judges how the connections ended since then: none without a word.
func (c *crowd) uncut(t *testing.T, since time.Time) {
	t.Helper()
	ends := c.taps.since(since)
	told, cut, codes := 0, 0, map[uint16]int{}
	for _, e := range ends {
		if !e.left {
			codes[e.code]++
		}
		if e.told {
			told++
		}
		if e.cut() {
			cut++
			t.Errorf("a session was cut without a word: %s", e)
		}
	}
	t.Logf("%d connections ended, %d of them told where and when, %d cut; closed by the nodes with %v", len(ends), told, cut, codes)
	town.figures.note(t.Name()+": connections ended, told, cut without a word", fmt.Sprintf("%d, %d, %d", len(ends), told, cut))
}

// mint signs a client's token.
func mint(secret []byte, id string) (string, error) {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject: id, ExpiresAt: jwt.NewNumericDate(time.Now().Add(24 * time.Hour)),
	}).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("sign a client token: %w", err)
	}
	return signed, nil
}

// signer makes client tokens. The balancer's Deployment says in which Secret their key is; in dev mode clients are
// believed without one.
func (c *cluster) signer(t *testing.T) func(id string) (string, error) {
	t.Helper()
	d, err := c.kube.AppsV1().Deployments(namespace).Get(t.Context(), balancerName, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("find the secret of client tokens: %v", err)
	}
	settings := c.settings(t, d)
	if settings["TIDEGATE_DEV"] == "true" {
		return func(string) (string, error) { return "", nil }
	}
	path := tokenFile(d, settings)
	for _, v := range d.Spec.Template.Spec.Volumes {
		for _, name := range secretNames(v) {
			s, err := c.kube.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				continue
			}
			if body, ok := s.Data[filepath.Base(path)]; ok {
				secret := []byte(strings.TrimSpace(string(body)))
				return func(id string) (string, error) { return mint(secret, id) }
			}
		}
	}
	t.Fatalf("no Secret of %s holds %q", balancerName, path)
	return nil
}

// settings are the values of the ConfigMaps that a Deployment takes its environment from.
func (c *cluster) settings(t *testing.T, d *appsv1.Deployment) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, from := range container.EnvFrom {
			if from.ConfigMapRef == nil {
				continue
			}
			m, err := c.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), from.ConfigMapRef.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatalf("read ConfigMap %s: %v", from.ConfigMapRef.Name, err)
			}
			for key, value := range m.Data {
				out[key] = value
			}
		}
	}
	return out
}

const tokenEnv, tokenFlag = "TIDEGATE_JWT_SECRET_FILE", "--jwt-secret-file="

func tokenFile(d *appsv1.Deployment, settings map[string]string) string {
	path := settings[tokenEnv]
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, env := range container.Env {
			if env.Name == tokenEnv {
				path = env.Value
			}
		}
		for _, arg := range container.Args {
			if value, ok := strings.CutPrefix(arg, tokenFlag); ok {
				path = value
			}
		}
	}
	return path
}

func secretNames(v corev1.Volume) []string {
	var names []string
	if v.Secret != nil {
		names = append(names, v.Secret.SecretName)
	}
	if v.Projected != nil {
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}
