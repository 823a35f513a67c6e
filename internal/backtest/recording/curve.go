package recording

import "time"

// points is how long a series is at most, and half of it at least where there are as many readings.
const points = 600

// curve thins a run of unknown length out to a few hundred spans, in bounded memory.
type curve struct {
	spans []span
	// each is how many readings one span holds.
	each int
}

// span is some readings in a row.
type span struct {
	until                                   time.Time
	readings                                int
	need, serving, asked, decided, replayed int
	seconds, clients, bad                   float64
}

func (c *curve) add(s step, seconds float64) {
	one := span{
		until: s.at, readings: 1, need: s.health.need, serving: s.health.serving, asked: s.asked, decided: s.decided,
		replayed: s.replayed, seconds: seconds, clients: s.health.clients * seconds, bad: s.health.bad * seconds,
	}
	c.each = max(c.each, 1)
	if n := len(c.spans); n > 0 && c.spans[n-1].readings < c.each {
		c.spans[n-1] = c.spans[n-1].and(one)
		return
	}
	if len(c.spans) == points {
		for i := range points / 2 {
			c.spans[i] = c.spans[2*i].and(c.spans[2*i+1])
		}
		c.spans = c.spans[:points/2]
		c.each *= 2
	}
	c.spans = append(c.spans, one)
}

// and joins a span with the next.
func (s span) and(next span) span {
	return span{
		until: next.until, readings: s.readings + next.readings,
		need: max(s.need, next.need), serving: max(s.serving, next.serving), asked: max(s.asked, next.asked),
		decided: max(s.decided, next.decided), replayed: max(s.replayed, next.replayed),
		seconds: s.seconds + next.seconds, clients: s.clients + next.clients, bad: s.bad + next.bad,
	}
}

func (c *curve) series(from time.Time) Series {
	var out Series
	for _, s := range c.spans {
		at := s.until.Sub(from).Seconds()
		if n := len(out.At); n > 0 && at <= out.At[n-1] {
			continue // the server's clock went back: an axis must rise
		}
		mean, bad := 0.0, 0.0
		if s.seconds > 0 {
			mean = s.clients / s.seconds
		}
		if s.clients > 0 {
			bad = s.bad / s.clients
		}
		out.At = append(out.At, at)
		out.Need = append(out.Need, float64(s.need))
		out.Serving = append(out.Serving, float64(s.serving))
		out.Asked = append(out.Asked, float64(s.asked))
		out.Decided = append(out.Decided, float64(s.decided))
		out.Replayed = append(out.Replayed, float64(s.replayed))
		out.Clients = append(out.Clients, mean)
		out.Bad = append(out.Bad, bad)
	}
	return out
}
