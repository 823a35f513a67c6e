package demo

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/demo/actuator"
	"github.com/tidegate/tidegate/internal/demo/swarm"
)

// linesEvery is how often a line is printed where there is no terminal.
const linesEvery = 3 * time.Second

// progress shows how far the day is: a bar on a terminal, lines elsewhere.
type progress struct {
	out   io.Writer
	bar   *progressbar.ProgressBar
	last  time.Time
	stage string
	// received and measured give the rate.
	received uint64
	measured time.Time
	rate     float64
}

// thousand is the bar's length: tenths of a percent.
const thousand = 1000

func newProgress(out io.Writer, plain bool) *progress {
	p := &progress{out: out}
	file, isFile := out.(*os.File)
	if plain || !isFile || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.bar = progressbar.NewOptions(thousand,
		progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(24), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false), progressbar.OptionThrottle(lookThrottle), progressbar.OptionClearOnFinish(),
	)
	return p
}

const lookThrottle = 100 * time.Millisecond

// at shows one moment.
func (p *progress) at(now moment, crowd swarm.Stats, town actuator.Summary, newest decision.Decision) {
	p.measure(crowd.Received)
	ready := 0
	if n := len(town.Timeline); n > 0 {
		ready = town.Timeline[n-1].Ready
	}
	text := fmt.Sprintf("%-6s  clients %4d  %5.0f msg/s  nodes %d of %d  urgency %d %s",
		now.stage, crowd.Connected, p.rate, ready, newest.Desired, newest.Urgency, newest.Reason)
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Set(int(now.done * thousand))
		return
	}
	if now.stage != p.stage || time.Since(p.last) >= linesEvery {
		p.stage, p.last = now.stage, time.Now()
		say(p.out, "%3.0f %%  %s", now.done*100, text)
	}
}

// measure keeps the rate of delivery over about a second.
func (p *progress) measure(received uint64) {
	passed := time.Since(p.measured)
	if passed < time.Second {
		return
	}
	if !p.measured.IsZero() {
		p.rate = float64(received-p.received) / passed.Seconds()
	}
	p.received, p.measured = received, time.Now()
}

// end leaves the terminal clean.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
