package command

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/tidegate/tidegate/internal/backtest/recording"
)

// recordProgress shows how a recording goes: one line that is written anew on a terminal, a line a minute elsewhere.
type recordProgress struct {
	out      io.Writer
	terminal bool
	every    time.Duration
	told     time.Time
	now      func() time.Time
}

const (
	tellTerminal = 500 * time.Millisecond
	tellLog      = time.Minute
)

func newRecordProgress(out io.Writer) *recordProgress {
	file, isFile := out.(*os.File)
	p := &recordProgress{out: out, terminal: isFile && term.IsTerminal(int(file.Fd())), every: tellLog, now: time.Now}
	if p.terminal {
		p.every = tellTerminal
	}
	return p
}

// at is called after each reading.
func (p *recordProgress) at(now recording.Progress) {
	if at := p.now(); at.Sub(p.told) >= p.every {
		p.told = at
		p.write(describe(now))
	}
}

// describe is a recording in one line.
func describe(p recording.Progress) string {
	switch {
	case p.From.IsZero():
		return "waiting for Redis: no reading yet"
	case !p.Reachable:
		return fmt.Sprintf("%d readings, %s; Redis cannot be read, what was known is recorded as such", p.Frames, size(p.Bytes))
	case p.Nodes == 0:
		return fmt.Sprintf("%d readings, %s; no node of this fleet sends heartbeats: is its name right?", p.Frames, size(p.Bytes))
	}
	return fmt.Sprintf("%s recorded, %d readings, %s; now %d nodes, %d clients, desired %d",
		p.Until.Sub(p.From).Round(time.Second), p.Frames, size(p.Bytes), p.Nodes, p.Clients, p.Desired)
}

func (p *recordProgress) write(text string) {
	if p.terminal {
		text = "\r\x1b[K" + text
	} else {
		text += "\n"
	}
	_, _ = io.WriteString(p.out, text) // progress is worth no failure
}

func (p *recordProgress) end() {
	if p.terminal {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}

// size writes bytes as people read them.
func size(bytes int64) string {
	const kibi = 1024
	switch b := float64(bytes); {
	case b < kibi:
		return fmt.Sprintf("%d B", bytes)
	case b < kibi*kibi:
		return fmt.Sprintf("%.1f KiB", b/kibi)
	default:
		return fmt.Sprintf("%.1f MiB", b/kibi/kibi)
	}
}

func clock(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") }
