package engine_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/protocol"
)

// returning is a host that knows who says it comes back.
type returning struct{ *host }

func (returning) Returns(r *http.Request) bool { return r.URL.Query().Has(protocol.ParamResume) }

func TestWhoComesBackIsTakenBeforeStrangersWhenHandshakesComeTooFast(t *testing.T) {
	const rate = 2.0
	o := quick()
	o.HandshakeRate, o.HandshakeBurst = rate, 1
	h := newHost()
	addr := serve(t, o, h, returning{h}).addr
	ask := func(line string) int {
		c := dial(t, addr)
		c.send(t, []byte(request(line)))
		answer, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	back := strings.Replace(connectLine, " HTTP", "?"+protocol.ParamResume+"=x HTTP", 1)
	began := time.Now()
	if got := ask(connectLine); got != http.StatusSwitchingProtocols {
		t.Fatalf("the first got %d", got)
	}
	taken, refused := 0, 0
	for range 20 {
		switch ask(back) {
		case http.StatusSwitchingProtocols:
			taken++
		default:
			refused++
		}
	}
	if most := 1 + rate*(1+time.Since(began).Seconds()); taken < 1 || float64(taken) > most {
		t.Errorf("%d of 20 that came back were let in, want some, and at most a second's worth ahead of the rate (%.1f)", taken, most)
	}
	for tries := 0; ; tries++ {
		ask(back) // keeps the rate used up
		if ask(connectLine) == http.StatusServiceUnavailable {
			break
		}
		if tries == 20 {
			t.Fatal("strangers are let in though those who come back used up the rate")
		}
	}
}
