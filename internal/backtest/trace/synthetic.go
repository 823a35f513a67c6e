package trace

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// recipe makes one synthetic trace of clients as parts of the peak.
type recipe struct {
	name    string
	kind    Kind
	minutes int
	step    time.Duration
	course  func(minute float64) float64
	// wobble is how far clients wander about the course, as a standard deviation relative to it.
	wobble float64
	jitter float64
	befall func(t *Trace, r *rand.Rand)
}

const (
	hour = 60.0
	day  = 24 * hour
	// usualJitter is how far rates wander where nothing special happens.
	usualJitter = 0.03
)

func recipes() []recipe {
	return []recipe{
		{name: "week", kind: Regular, minutes: 7 * int(day), step: time.Minute, course: week, wobble: 0.006, jitter: usualJitter, befall: drift},
		{name: "ramp", kind: Regular, minutes: 240, step: 10 * time.Second, course: ramp, wobble: 0.003, jitter: usualJitter},
		{name: "sawtooth", kind: Regular, minutes: 360, step: 10 * time.Second, course: sawtooth, wobble: 0.003, jitter: usualJitter},
		{name: "storm", kind: Regular, minutes: 300, step: 10 * time.Second, course: storm, wobble: 0.003, jitter: usualJitter, befall: outages},
		{name: "night", kind: Regular, minutes: 14 * 60, step: 30 * time.Second, course: night, wobble: 0.005, jitter: usualJitter},
		{name: "noisy", kind: Regular, minutes: 360, step: 10 * time.Second, course: noisy, wobble: 0.03, jitter: 0.08, befall: neighbours},
		{name: "idle", kind: Regular, minutes: 360, step: 10 * time.Second, course: idle, wobble: 0.05, jitter: 0.10},
		{name: "flash", kind: Shock, minutes: 150, step: 5 * time.Second, course: flash, wobble: 0.003, jitter: usualJitter},
		{name: "bursts", kind: Shock, minutes: 180, step: 5 * time.Second, course: plateau, wobble: 0.003, jitter: usualJitter, befall: bursts},
		{name: "hotspot", kind: Shock, minutes: 180, step: 10 * time.Second, course: plateau, wobble: 0.003, jitter: usualJitter, befall: hotspots},
	}
}

// Names lists the synthetic traces, the regular ones first.
func Names() []string {
	all := recipes()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	return names
}

// Synthetic makes a built-in trace at the default peak. The same name and seed always give the same trace.
func Synthetic(name string, seed uint64) (Trace, error) {
	all := recipes()
	at := slices.IndexFunc(all, func(r recipe) bool { return r.name == name })
	if at < 0 {
		return Trace{}, fmt.Errorf("trace %q is unknown: want one of %s, or a file that ends in .csv", name, strings.Join(Names(), ", "))
	}
	return all[at].cook(seed), nil
}

// Rand is a source of chance for one purpose: the same name and seed always give the same one.
func Rand(purpose string, seed uint64) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func (c recipe) cook(seed uint64) Trace {
	r := Rand("trace "+c.name, seed)
	steps := int(time.Duration(c.minutes) * time.Minute / c.step)
	t := Trace{Name: c.name, Kind: c.kind, Step: c.step, Clients: make([]float64, steps+1), Jitter: c.jitter}
	wander := wanderer{sd: c.wobble, memory: 15 * time.Minute, step: c.step, r: r}
	// Seeds shift the clock a little, so that no seed meets the sync periods as another does.
	shift := r.Float64() * 0.02
	for i := range t.Clients {
		minute := float64(i) * c.step.Minutes()
		t.Clients[i] = DefaultPeak * c.course(minute+shift*hour) * max(0.05, 1+wander.next())
	}
	if c.befall != nil {
		c.befall(&t, r)
	}
	return t
}

// wanderer is noise that remembers where it was.
type wanderer struct {
	sd     float64
	memory time.Duration
	step   time.Duration
	r      *rand.Rand
	at     float64
	// keep and add are what a step makes of it, worked out at the first one.
	keep, add float64
}

func (w *wanderer) next() float64 {
	if w.add == 0 {
		w.keep = math.Exp(-float64(w.step) / float64(w.memory))
		w.add = math.Sqrt(1-w.keep*w.keep) * w.sd
	}
	w.at = w.keep*w.at + w.add*w.r.NormFloat64()
	return w.at
}
