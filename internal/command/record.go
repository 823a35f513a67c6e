package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/tidegate/tidegate/balancer"
	"github.com/tidegate/tidegate/balancer/audit"
	"github.com/tidegate/tidegate/internal/backtest/recording"
	"github.com/tidegate/tidegate/internal/decision"
	"github.com/tidegate/tidegate/internal/fleet"
	"github.com/tidegate/tidegate/internal/kafka"
	"github.com/tidegate/tidegate/internal/redisconn"
)

// recordCommand writes a recording.
type recordCommand struct {
	Fleet  fleet.ID      `env:"TIDEGATE_FLEET" required:"" placeholder:"NAMESPACE/NAME" help:"The fleet to record: namespace and name of its Deployment."`
	Out    string        `env:"TIDEGATE_RECORD_OUT" required:"" type:"path" placeholder:"FILE" help:"File to write; it must not be there yet."`
	For    time.Duration `env:"TIDEGATE_RECORD_FOR" default:"0s" help:"How long to record; 0s is until the process is interrupted, which completes the file too."`
	Every  time.Duration `env:"TIDEGATE_RECORD_EVERY" default:"1s" help:"Time between two readings, 50ms to 30s. The balancer reads each second."`
	Shards bool          `env:"TIDEGATE_RECORD_SHARDS" help:"Keep the list of shards of each node: the file becomes several times as long."`

	FromAudit bool          `env:"TIDEGATE_RECORD_FROM_AUDIT" help:"Rebuild the past from the decisions on Kafka instead. It is coarse: their inputs are sums and means."`
	Since     time.Duration `env:"TIDEGATE_RECORD_SINCE" default:"168h" help:"How far back to go, with --from-audit; Kafka keeps seven days."`

	balancer.FollowOptions `embed:""`

	Redis redisconn.Options `embed:""`
	Kafka kafka.Options     `embed:""`
}

// Run is the recorder.
func (c *recordCommand) Run(p *process) error {
	if err := checked(c.validate()); err != nil {
		return err
	}
	file, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return checked(fmt.Errorf("--out %s is there already: a recording is not overwritten, give another name or remove it", c.Out))
	}
	if err != nil {
		return checked(fmt.Errorf("--out: %w", err))
	}
	shown := newRecordProgress(p.errOut)
	done, err := c.record(p, file, shown)
	shown.end()
	err = errors.Join(err, file.Close())
	if done.Frames == 0 {
		// A file without a reading is of no use, and would be in the way of the next try.
		err = errors.Join(err, os.Remove(c.Out))
		if err == nil {
			err = errors.New("nothing was recorded: no reading was possible before the end")
		}
	}
	if err != nil {
		return err
	}
	return tellRecorded(p.out, c.Out, done)
}

func (c *recordCommand) validate() error {
	var errs []error
	if c.Every < recording.MinEvery || c.Every > recording.MaxEvery {
		errs = append(errs, fmt.Errorf("--every is %s: give %s to %s", c.Every, recording.MinEvery, recording.MaxEvery))
	}
	if c.For < 0 {
		errs = append(errs, fmt.Errorf("--for is %s: give a duration, or 0s to record until it is interrupted", c.For))
	}
	if c.FromAudit {
		if c.Since <= 0 {
			errs = append(errs, fmt.Errorf("--since is %s: give how far back to go, as in 24h", c.Since))
		}
		if c.Since > recording.MostAudit {
			errs = append(errs, fmt.Errorf("--since is %s: give %s at most", c.Since, recording.MostAudit))
		}
		return errors.Join(append(errs, c.Kafka.Validate())...)
	}
	return errors.Join(append(errs, c.Redis.Validate())...)
}

func (c *recordCommand) record(p *process, file io.Writer, shown *recordProgress) (recording.Progress, error) {
	if c.FromAudit {
		return c.fromAudit(p.ctx, file, p.errOut)
	}
	client, err := redisconn.Open(c.Redis)
	if err != nil {
		return recording.Progress{}, fmt.Errorf("open Redis: %w", err)
	}
	defer func() { _ = client.Close() }() // it was only read from
	ctx, stop := context.WithCancel(p.ctx)
	if c.For > 0 {
		ctx, stop = context.WithTimeout(p.ctx, c.For)
	}
	defer stop()
	follower, beside, err := c.Open(balancer.Deps{Redis: client, Timeout: c.Redis.Timeout, Logger: p.logger}, c.Fleet)
	if err != nil {
		return recording.Progress{}, checked(err)
	}
	defer follower.Close()
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { beside(ctx) })
	recorder := recording.Recorder{Fleet: c.Fleet, Every: c.Every, Shards: c.Shards, Progress: shown.at}
	return recorder.Run(ctx, eye{follower}, file)
}

// eye lets a recorder see what a follower of the balancer sees.
type eye struct{ *balancer.Follower }

// Look reads once.
func (e eye) Look(ctx context.Context) recording.Sight { return recording.Sight(e.Follower.Look(ctx)) }

// mostDecisions bounds what is read of the audit log: a fleet that decides each second writes as many in a day.
const mostDecisions = 100_000

// slack is how far a decision's time, which is the Redis server's, may be from the log's and from ours; a held one is older still.
const slack = time.Hour

func (c *recordCommand) fromAudit(ctx context.Context, file, told io.Writer) (recording.Progress, error) {
	rules, err := c.Rules()
	if err != nil {
		return recording.Progress{}, checked(err)
	}
	var decisions []decision.Decision
	now, strange := time.Now(), 0
	bad, err := audit.Read(ctx, c.Kafka, c.Fleet, now.Add(-c.Since), func(d decision.Decision) error {
		if d.RefreshedAt.Before(now.Add(-c.Since-slack)) || d.RefreshedAt.After(now.Add(slack)) {
			strange++
			return nil
		}
		if len(decisions) == mostDecisions {
			return fmt.Errorf("there are over %d decisions: give a shorter --since than %s", mostDecisions, c.Since)
		}
		decisions = append(decisions, d)
		return nil
	})
	if err != nil {
		return recording.Progress{}, err
	}
	if bad > 0 {
		fmt.Fprintf(told, "%d records of the audit log are no decisions and were left out\n", bad) //nolint:errcheck // a remark is worth no failure
	}
	if strange > 0 {
		fmt.Fprintf(told, "%d decisions tell of another time than the last %s and were left out\n", strange, c.Since) //nolint:errcheck // a remark is worth no failure
	}
	return recording.FromDecisions(ctx, file, c.Fleet, decisions, rules)
}

// tellRecorded ends with what there is and what to do with it.
func tellRecorded(out io.Writer, path string, done recording.Progress) error {
	text := fmt.Sprintf("Recorded %d readings from %s to %s in %s (%s).\n", done.Frames, clock(done.From), clock(done.Until), path, size(done.Bytes))
	if done.Skipped > 0 {
		text += fmt.Sprintf("%d readings could not be written and were left out", done.Skipped)
		if done.Problem != "" {
			text += ", the last because of: " + done.Problem
		}
		text += "\n"
	}
	text += fmt.Sprintf("Replay it:  tidegate backtest --recording %s --set cpuCeiling=0.8\n", path)
	_, err := io.WriteString(out, text)
	return err
}
