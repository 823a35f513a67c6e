package victims_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/webhook/victims"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var socket = fleet.ID{Namespace: "chat", Name: "socket"}

const answer = `{"fleet":"chat/socket","victims":["b","a"],"tableVersion":7,"new":true}`

// balancer serves what a handler says and returns a client for it.
func balancer(t *testing.T, handle http.HandlerFunc) *victims.Client {
	t.Helper()
	server := httptest.NewServer(handle)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return victims.NewClient(server.URL, transport)
}

func TestTheOrderIsAskedForWhole(t *testing.T) {
	client := balancer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/victims" || r.URL.Query().Get("fleet") != "chat/socket" || r.URL.Query().Get("count") != "100000" {
			t.Errorf("asked %s", r.URL)
		}
		_, _ = w.Write([]byte(answer))
	})
	names, err := client.Order(t.Context(), socket)
	if err != nil || !slices.Equal(names, []string{"b", "a"}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestWhatTheBalancerMayAnswer(t *testing.T) {
	cases := []struct {
		name    string
		status  int
		body    string
		unknown bool
		says    string
		asked   int32
	}{
		{"no such fleet", 404, `{"error":"fleet chat/socket is not known here"}`, true, "knows no such fleet", 1},
		{"a bad request is not asked again", 400, `{"error":"count"}`, false, "400", 1},
		{"a fault is asked again once", 503, `{"error":"not yet"}`, false, "not yet", 2},
		{"no JSON", 200, `<html>`, false, "read its answer", 2},
		{"half an answer", 200, answer[:20], false, "read its answer", 2},
		{"another fleet's answer", 200, `{"fleet":"chat/other","victims":["x"]}`, false, "point --balancer-admin-url at the balancer", 1},
		{"no fleet", 200, `{}`, false, "point --balancer-admin-url", 1},
		{"null", 200, `null`, false, "point --balancer-admin-url", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			client := balancer(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			names, err := client.Order(t.Context(), socket)
			if err == nil || names != nil || errors.Is(err, victims.ErrUnknownFleet) != c.unknown || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, %v: want an error that says %q", names, err, c.says)
			}
			if asked.Load() != c.asked {
				t.Errorf("asked %d times, want %d", asked.Load(), c.asked)
			}
		})
	}
}

func TestAReplicaThatDiesIsAskedForAgain(t *testing.T) {
	var asked atomic.Int32
	client := balancer(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte(answer))
	})
	if names, err := client.Order(t.Context(), socket); err != nil || len(names) != 2 {
		t.Errorf("%v, %v: the other replica would have answered", names, err)
	}
}

func TestABalancerThatHangsIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	client := balancer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	bounded, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Order(bounded, socket); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: the scale-in would wait for ever", err)
	}
}

// FuzzAnswer gives any answer of a balancer: what comes back is an error or exactly the names that JSON holds.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{answer, `{}`, `null`, `[]`, `{"fleet":"chat/socket","victims":null}`, `{"fleet":"chat/socket","victims":[1]}`, "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		client := victims.NewClient("http://balancer", tripper(body))
		names, err := client.Order(t.Context(), socket)
		if err != nil {
			if names != nil {
				t.Errorf("names %v and the error %v", names, err)
			}
			return
		}
		var read struct{ Victims []string }
		if json.NewDecoder(strings.NewReader(body)).Decode(&read) != nil || !slices.Equal(read.Victims, names) {
			t.Errorf("%q was read as %v", body, names)
		}
	})
}

type tripper string

func (body tripper) RoundTrip(*http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	_, _ = recorder.WriteString(string(body))
	return recorder.Result(), nil
}
