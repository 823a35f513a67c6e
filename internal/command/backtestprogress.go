package command

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// backtestProgress shows how far the runs are: a bar on a terminal, a line now and then elsewhere.
type backtestProgress struct {
	out   io.Writer
	plain bool
	bar   *progressbar.ProgressBar
	told  int
}

// tellParts is in how many lines a whole backtest is told where there is no terminal.
const tellParts = 10

func newBacktestProgress(out io.Writer, plain bool) *backtestProgress {
	file, isFile := out.(*os.File)
	return &backtestProgress{out: out, plain: plain || !isFile || !term.IsTerminal(int(file.Fd()))}
}

// at is called after each run.
func (p *backtestProgress) at(done, total int) {
	if p.plain {
		if part := done * tellParts / total; part > p.told {
			p.told = part
			fmt.Fprintf(p.out, "%d of %d runs\n", done, total) //nolint:errcheck // progress is worth no failure
		}
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(p.out), progressbar.OptionSetWidth(24), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetDescription("backtest"))
	}
	_ = p.bar.Set(done)
}

func (p *backtestProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
