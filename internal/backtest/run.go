package backtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/internal/backtest/oracle"
	"github.com/tidegate/tidegate/internal/backtest/trace"
	"github.com/tidegate/tidegate/internal/backtest/world"
)

const (
	defaultSeeds  = 3
	defaultPoints = 600
	// startFill is the CPU at which a fleet begins.
	startFill = 0.70
)

// Run runs every row on every trace with every seed, and returns the results in that order of traces, rows and seeds. It
// ends early with ctx's error.
func Run(ctx context.Context, o Options) ([]Result, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	jobs, err := o.jobs(ctx)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(jobs))
	group.SetLimit(o.Workers)
	var mu sync.Mutex
	done := 0
	for i := range jobs {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			result, err := o.run(ctx, jobs[i])
			if err != nil {
				return err
			}
			results[i] = result
			mu.Lock()
			defer mu.Unlock()
			done++
			if o.Progress != nil {
				o.Progress(done, len(jobs))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return results, nil
}

// complete fills in defaults and refuses what cannot be run.
func (o Options) complete() (Options, error) {
	if len(o.Synthetic) == 0 && len(o.Recorded) == 0 {
		o.Synthetic = trace.Names()
	}
	if len(o.Rows) == 0 {
		o.Rows = RowNames()
	}
	if len(o.Seeds) == 0 {
		for seed := range uint64(defaultSeeds) {
			o.Seeds = append(o.Seeds, seed+1)
		}
	}
	o.PeakClients = orElse(o.PeakClients, trace.DefaultPeak)
	o.DeclaredCapacity = orElse(o.DeclaredCapacity, 1)
	o.Workers = orElse(o.Workers, runtime.GOMAXPROCS(0))
	o.Points = orElse(o.Points, defaultPoints)
	var errs []error
	for _, row := range o.Rows {
		if !slices.Contains(RowNames(), row) {
			errs = append(errs, fmt.Errorf("row %q is unknown: want %s", row, strings.Join(RowNames(), ", ")))
		}
	}
	errs = append(errs, o.twice()...)
	if !(o.PeakClients >= 1 && o.PeakClients <= mostClients) {
		errs = append(errs, fmt.Errorf("peak of %v clients: want 1 to %d", o.PeakClients, mostClients))
	}
	if !(o.DeclaredCapacity >= 0.1 && o.DeclaredCapacity <= 10) {
		errs = append(errs, fmt.Errorf("declared capacity of %v times the real one: want 0.1 to 10", o.DeclaredCapacity))
	}
	if len(errs) > 0 {
		return o, errors.Join(errs...)
	}
	rules, err := o.policy()
	if err == nil {
		err = rules.Validate()
	}
	o.rules = rules
	return o, err
}

// twice names what is given more than once: it would count as more runs than there are.
func (o Options) twice() []error {
	var errs []error
	given := map[string]bool{}
	once := func(kind, name string) {
		if key := kind + " " + name; given[key] {
			errs = append(errs, fmt.Errorf("%s %s is given twice: give each once", kind, name))
		} else {
			given[key] = true
		}
	}
	for _, name := range o.Synthetic {
		once("trace", name)
	}
	for i := range o.Recorded {
		once("trace", o.Recorded[i].Name)
	}
	for _, row := range o.Rows {
		once("row", row)
	}
	for _, seed := range o.Seeds {
		once("seed", strconv.FormatUint(seed, 10))
	}
	return errs
}

// mostClients bounds a fleet to what a table of results can show.
const mostClients = 100_000_000

func orElse[T int | float64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// job is one run.
type job struct {
	row   string
	seed  uint64
	trace *trace.Trace
	plan  func() (oracle.Plan, error)
}

// jobs lists the runs. Those of one trace and seed share the oracle's plan.
func (o Options) jobs(ctx context.Context) ([]job, error) {
	var jobs []job
	add := func(of func(seed uint64) (trace.Trace, error)) error {
		byRow := make([][]job, len(o.Rows))
		for _, seed := range o.Seeds {
			t, err := of(seed)
			if err != nil {
				return err
			}
			if err := t.Validate(); err != nil {
				return err
			}
			plan := sync.OnceValues(func() (oracle.Plan, error) { return oracle.Within(ctx, world.Usual(), &t, seed, o.rules.MinReplicas) })
			for i, row := range o.Rows {
				byRow[i] = append(byRow[i], job{row: row, seed: seed, trace: &t, plan: plan})
			}
		}
		jobs = append(jobs, slices.Concat(byRow...)...)
		return nil
	}
	for _, name := range o.Synthetic {
		err := add(func(seed uint64) (trace.Trace, error) {
			t, err := trace.Synthetic(name, seed)
			return t.Times(o.PeakClients / trace.DefaultPeak), err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, t := range o.Recorded {
		if err := add(func(uint64) (trace.Trace, error) { return t, nil }); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// lookUp is how many seconds go by between two looks whether a run is still wanted.
const lookUp = 64

// run is one row on one trace.
func (o Options) run(ctx context.Context, j job) (Result, error) {
	plan, err := j.plan()
	if err != nil {
		return Result{}, err
	}
	result := Result{Trace: j.trace.Name, Kind: j.trace.Kind, Row: j.row, Seed: j.seed, NeverStart: o.NeverStart}
	recorder := newRecorder(j.trace.Seconds(), o.Points)
	if j.row == RowOracle {
		result.Score, result.Series = perfect(j.trace, plan, recorder)
		return result, nil
	}
	x := world.Usual()
	clients, _ := j.trace.At(0)
	s := o.setup(j.row, world.Options{
		Physics: x, Trace: j.trace, Seed: j.seed, NeverStart: o.NeverStart, Policy: o.rules,
		Pods: max(o.rules.MinReplicas, int(clients/x.Carries(startFill))+1),
	})
	w, p := world.New(s.world), s.policy()
	for w.Now() < j.trace.Seconds() {
		if w.Now()%lookUp == 0 && ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		w.Step(p.Order(w))
		if w.Now() >= 0 {
			recorder.second(w, float64(plan.Pods[w.Now()]))
		}
	}
	result.Score = w.Tally().Score(plan.PodSeconds, plan.Peak)
	result.Series = recorder.series(w)
	return result, nil
}
