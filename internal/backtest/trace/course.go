package trace

import (
	"math"
	"math/rand/v2"
)

// The courses give clients as parts of the peak at a minute.

// daily is a day's shape: least before dawn, most in the evening.
func daily(minute float64) float64 {
	h := math.Mod(minute, day) / hour
	return 0.5 - 0.42*math.Cos((h-4)*2*math.Pi/24) - 0.08*math.Cos((h-10)*4*math.Pi/24)
}

func week(minute float64) float64 {
	part := 1.0
	switch int(minute/day) % 7 {
	case 4:
		part = 1.05
	case 5:
		part = 0.82
	case 6:
		part = 0.74
	}
	return (0.08 + 0.87*daily(minute)) * part / 1.05
}

func ramp(minute float64) float64 {
	switch {
	case minute < 20:
		return 0.17
	case minute < 60:
		return line(minute, 20, 60, 0.17, 1)
	case minute < 90:
		return 1
	case minute < 150:
		return line(minute, 90, 150, 1, 0.25)
	case minute < 170:
		return 0.25
	case minute < 182:
		return line(minute, 170, 182, 0.25, 0.8)
	default:
		return 0.8
	}
}

func sawtooth(minute float64) float64 {
	const period, rise = 45, 32
	m := math.Mod(minute, period)
	if m < rise {
		return line(m, 0, rise, 0.42, 1)
	}
	return line(m, rise, period, 1, 0.42)
}

func storm(minute float64) float64 {
	return 0.88 + 0.12*math.Sin(minute*2*math.Pi/300)
}

func night(minute float64) float64 {
	switch {
	case minute < 60:
		return 1
	case minute < 300:
		return line(minute, 60, 300, 1, 0.07)
	case minute < 600:
		return 0.07
	case minute < 780:
		return line(minute, 600, 780, 0.07, 0.75)
	default:
		return 0.75
	}
}

func noisy(minute float64) float64 {
	return 0.72 + 0.14*math.Sin(minute*2*math.Pi/130) + 0.06*math.Sin(minute*2*math.Pi/23)
}

// idle is a tiny fleet, always at its minimum.
func idle(minute float64) float64 {
	return 0.004 + 0.002*math.Sin(minute*2*math.Pi/180)
}

func flash(minute float64) float64 {
	switch {
	case minute < 30:
		return 0.1
	case minute < 31:
		return line(minute, 30, 31, 0.1, 1)
	case minute < 60:
		return 1
	case minute < 100:
		return line(minute, 60, 100, 1, 0.12)
	default:
		return 0.12
	}
}

func plateau(minute float64) float64 {
	return 0.75 + 0.08*math.Sin(minute*2*math.Pi/180)
}

func line(minute, from, to, low, high float64) float64 {
	return low + (high-low)*(minute-from)/(to-from)
}

// drift lets the rate follow the day: evenings are talkative.
func drift(t *Trace, r *rand.Rand) {
	t.Rate = make([]float64, len(t.Clients))
	offset := r.Float64() * 3
	for i := range t.Rate {
		minute := float64(i) * t.Step.Minutes()
		t.Rate[i] = 1 + 0.08*math.Sin((minute/hour-14+offset)*2*math.Pi/24)
	}
}

// outages take a third of the clients and more, three times.
func outages(t *Trace, r *rand.Rand) {
	for _, minute := range []int{50, 130, 215} {
		from := minute*60 + r.IntN(600)
		t.Outages = append(t.Outages, Outage{
			From: from, To: from + 90 + r.IntN(500), Part: 0.33 + 0.3*r.Float64(), Return: 15 + r.IntN(20),
		})
	}
}

// neighbours come to single nodes for some minutes each.
func neighbours(t *Trace, r *rand.Rand) {
	for at := 600; at < t.Seconds(); at += 300 + r.IntN(600) {
		t.Neighbours = append(t.Neighbours, Neighbour{
			From: at, To: at + 120 + r.IntN(1200), Node: r.IntN(1000), Part: 0.08 + 0.17*r.Float64(),
		})
	}
}

// bursts of messages come within seconds and last a few minutes.
func bursts(t *Trace, r *rand.Rand) {
	t.Rate = make([]float64, len(t.Clients))
	for i := range t.Rate {
		t.Rate[i] = 1
	}
	step := int(t.Step.Seconds())
	for at := 900; at < t.Seconds()-600; at += 900 + r.IntN(900) {
		length, height := 60+r.IntN(240), 1.35+0.5*r.Float64()
		for second := at; second < at+length; second += step {
			t.Rate[second/step] = height
		}
	}
}

// hotspots sit on single nodes for a quarter of an hour and more.
func hotspots(t *Trace, r *rand.Rand) {
	for at := 900; at < t.Seconds()-1200; at += 1200 + r.IntN(1200) {
		t.Hotspots = append(t.Hotspots, Hotspot{From: at, To: at + 900 + r.IntN(1200), Part: 0.10, Rate: 6 + 4*r.Float64()})
	}
}
