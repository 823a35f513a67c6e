package socket

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/tidegate/tidegate/internal/protocol"
	"github.com/tidegate/tidegate/socket/usage"
)

const secret = "0123456789abcdef0123456789abcdef"

func secretFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func jwtFor(t *testing.T, client string, lasts time.Duration) string {
	t.Helper()
	claims := jwt.RegisteredClaims{Subject: client, ExpiresAt: jwt.NewNumericDate(time.Now().Add(lasts))}
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func is(refused bool, _ string) bool { return refused }

func with(raw string) url.Values { return url.Values{protocol.ParamToken: {raw}} }

func TestATokenLetsInAndItsEndClosesUnlessItIsRefreshed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--jwt-secret-file="+secretFile(t))
	w.own(a)
	for name, raw := range map[string]string{
		"none": "", "long expired": jwtFor(t, "ada", -time.Hour), "of another key": jwtFor(t, "ada", time.Hour) + "x",
	} {
		if _, err := dial(t, a.url(), "ada", with(raw)); !is(refusedWith(err, http.StatusUnauthorized)) {
			t.Errorf("a token that is %s got %v, want 401", name, err)
		}
	}
	// Clocks may differ by 30 s: these tokens end about two seconds from now.
	const nearlyOver = -28 * time.Second
	ends := connect(t, a.url(), "ada", with(jwtFor(t, "ada", nearlyOver)))
	stays := connect(t, a.url(), "bob", with(jwtFor(t, "bob", nearlyOver)))
	thief := connect(t, a.url(), "eve", with(jwtFor(t, "eve", time.Hour)))
	stays.write(protocol.Refresh{Token: "nonsense"})
	if got := next[protocol.Error](stays); strings.Contains(got.Message, "nonsense") {
		t.Errorf("a refused token is repeated: %q", got.Message)
	}
	stays.write(protocol.Refresh{Token: jwtFor(t, "bob", time.Hour)})
	thief.write(protocol.Refresh{Token: jwtFor(t, "bob", time.Hour)})
	thief.closedWith(protocol.ClosePolicy)
	ends.closedWith(protocol.CloseExpired)
	stays.quiet()
}

func TestATokenOfOneClientDoesNotResumeAnothersSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--jwt-secret-file="+secretFile(t))
	w.own(a)
	ada := connect(t, a.url(), "ada", with(jwtFor(t, "ada", time.Hour)))
	query := with(jwtFor(t, "eve", time.Hour))
	query.Set(protocol.ParamResume, ada.welcome.ResumeToken)
	eve := connect(t, a.url(), "eve", query)
	if eve.welcome.ClientID != "eve" || eve.welcome.Resumed {
		t.Errorf("eve was welcomed as %+v with ada's resume token", eve.welcome)
	}
	ada.quiet()
}

func TestParametersThatMakeNoSenseAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	w.own(a)
	for name, value := range map[string]string{protocol.ParamOffset: "x", protocol.ParamTable: "-1"} {
		if _, err := dial(t, a.url(), "ada", url.Values{name: {value}}); !is(refusedWith(err, http.StatusBadRequest)) {
			t.Errorf("%s=%s got %v, want 400", name, value, err)
		}
	}
	// A resume token that is no good is no reason to stay out.
	connect(t, a.url(), "ada", url.Values{protocol.ParamResume: {"tr1.nonsense"}})
}

func TestBadFramesAreAnsweredAndTooManyEndTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--bad-frames=3")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	for _, bad := range []string{`{`, `{"type":"dance"}`, `{"type":"message","id":"","to":"bob","payload":1}`} {
		if err := ada.conn.Write(t.Context(), websocket.MessageText, []byte(bad)); err != nil {
			t.Fatal(err)
		}
		if got := next[protocol.Error](ada); got.Code != protocol.CodeBadFrame || got.Message == "" {
			t.Errorf("%s was answered %+v", bad, got)
		}
	}
	ada.closedWith(protocol.ClosePolicy)
	bob.quiet()
}

func TestAClientThatSendsTooMuchIsSlowedDownAndItsOrderKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--message-rate=2")
	w.own(a)
	ada, bob := connect(t, a.url(), "ada", nil), connect(t, a.url(), "bob", nil)
	const sent = 25
	for i := range sent {
		ada.write(protocol.Send{ID: string(rune('a' + i)), To: "bob", Payload: []byte(`1`)})
	}
	limited := 0
	for range sent {
		switch f := (<-ada.frames).(type) {
		case protocol.Error:
			if f.Code == protocol.CodeRateLimited && f.RetryAfter <= 0 {
				t.Errorf("%+v does not say when to try again", f)
			}
			limited++
		case protocol.Accepted:
		default:
			t.Fatalf("got %#v", f)
		}
	}
	if limited < 1 || limited > 5 {
		t.Errorf("%d of 25 messages were held back by a rate of 2/s with a burst of 20", limited)
	}
	for i := range sent - limited {
		if got := <-bob.messages; got.ID != string(rune('a'+i)) {
			t.Fatalf("message %d is %q: a later one has overtaken", i, got.ID)
		}
	}
}

func TestAFullNodeTurnsNewcomersAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--ws-max-connections=1")
	w.own(a)
	connect(t, a.url(), "ada", nil)
	_, err := dial(t, a.url(), "bob", nil)
	if refused, after := refusedWith(err, http.StatusServiceUnavailable); !refused || after == "" {
		t.Errorf("the second client of a node for one got %v, want 503 with a wait", err)
	}
	eventually(t, "the refusal counts as demand", func() bool { return a.meter.Totals().Refused == 1 })
}

func TestANodeWithoutMemoryTurnsNewcomersAwayBeforeItDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a", "--memory-limit=1Mi")
	w.own(a)
	eventually(t, "newcomers are turned away", func() bool {
		_, err := dial(t, a.url(), "bob", nil)
		return is(refusedWith(err, http.StatusServiceUnavailable))
	})
	if a.meter.Totals().Refused == 0 {
		t.Error("the refusal does not count as demand: the fleet would not grow")
	}
}

func TestASecondNodeOnATakenPortIsToldWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start("a")
	for flag, taken := range map[string]string{"--addr": a.public.Addr().String(), "--admin-addr": a.private.Addr().String()} {
		err := Run(t.Context(), w.options("b", flag+"="+taken), a.logger)
		if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "another port by") {
			t.Errorf("a taken port gave %v, want the flag, the address and the fix", err)
		}
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := contextUntil(t)
	ended := make(chan error, 1)
	o := w.options("a")
	o.ResumeKeyFile = ""
	go func() { ended <- Run(ctx, o, testLogger()) }()
	cancel()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the node did not stop")
	}
}

func TestWrongSettingsNameFieldValueAndFix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := map[string]struct {
		change func(*Options)
		says   []string
	}{
		"no fleet":                   {func(o *Options) { o.Fleet.Name = "" }, []string{"fleet name", "empty"}},
		"a node name with capitals":  {func(o *Options) { o.Node = "A" }, []string{"--node", `"A"`}},
		"an address without a port":  {func(o *Options) { o.Addr = "localhost" }, []string{"--addr", "localhost", "host:port"}},
		"an admin address":           {func(o *Options) { o.Admin = "9090" }, []string{"--admin-addr", "9090", ":port"}},
		"a URL of the wrong kind":    {func(o *Options) { o.URL = "http://x" }, []string{"--url", "http://x", "ws://"}},
		"an admin URL of that kind":  {func(o *Options) { o.AdminURL = "x" }, []string{"--admin-url", `"x"`, "http://"}},
		"no shards":                  {func(o *Options) { o.Shards = 0 }, []string{"--shards", "0", "1 to 65536"}},
		"a window of an instant":     {func(o *Options) { o.ResumeWindow = 1 }, []string{"--resume-window", "1ns", "10s"}},
		"a drain without time":       {func(o *Options) { o.DrainTimeout = 0 }, []string{"--drain-timeout", "0s", "1s"}},
		"a rate of nothing":          {func(o *Options) { o.DrainRate = 0 }, []string{"--drain-rate", "0", "0.1"}},
		"a ceiling in percent":       {func(o *Options) { o.MemoryCeiling = 95 }, []string{"--memory-ceiling", "95", "0.1 to 1"}},
		"no resume key":              {func(o *Options) { o.ResumeKeyFile, o.Token.Dev, o.Token.JWTSecretFile = "", false, "x" }, []string{"--resume-key-file", "k1:"}},
		"a Redis that is no address": {func(o *Options) { o.Redis.Addrs = []string{"x"} }, []string{"--redis-addr"}},
		"a Kafka that is no address": {func(o *Options) { o.Kafka.Brokers = []string{"x"} }, []string{"--kafka-broker"}},
		"a queue of nothing":         {func(o *Options) { o.WS.QueueFrames = 0 }, []string{"--ws-queue-frames"}},
		"a resume key that is none":  {func(o *Options) { o.ResumeKeyFile = "/no/such/file" }, []string{"--resume-key-file", "/no/such/file"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := w.options("a")
			tt.change(&o)
			err := Run(t.Context(), o, testLogger())
			if err == nil {
				t.Fatal("the node started")
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestLimitsAreWrittenAsOperatorsWriteThem(t *testing.T) {
	t.Parallel()
	o := parse(t, "--fleet=a/b", "--dev", "--cpu-limit=500m", "--memory-limit=512Mi")
	if o.CPULimit != 0.5 || o.MemoryLimit != 512<<20 || o.limits() != (usage.Limits{CPU: 0.5, Memory: 512 << 20}) {
		t.Errorf("the limits are %v cores and %v bytes", o.CPULimit, o.MemoryLimit)
	}
	if o.Shards != 1024 || o.DrainTimeout != 300*time.Second || o.ResumeWindow != 5*time.Minute || o.WS.QueueFrames != 4096 {
		t.Errorf("the defaults are %+v", o)
	}
}
