// Package report turns what happens on a node into the rates and quantiles of its heartbeat, and sends the heartbeat.
package report

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// steps is how many buckets each power of two has: a quantile is at most 1/steps too high.
	steps     = 16
	stepsBits = 4
	// groups is how many powers of two there are, from a microsecond on; longer times count as the longest.
	groups  = 28
	buckets = groups * steps
	// stripes spread the counters over cache lines, so that cores seldom write to the same one.
	stripes = 8
)

// Histogram counts durations between a microsecond and about two minutes. Observe is lock-free and allocates nothing;
// all methods are safe for concurrent use.
type Histogram struct {
	stripes [stripes]stripe
}

type stripe struct {
	count [buckets]atomic.Uint64
	nanos atomic.Uint64
	_     [64]byte
}

// Counts is what a histogram counted up to one time.
type Counts struct {
	bucket [buckets]uint64
	// Total is how many durations were counted, Sum their sum.
	Total uint64
	Sum   time.Duration
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	s := &h.stripes[rand.Uint32()%stripes]
	s.count[bucketOf(d)].Add(1)
	s.nanos.Add(uint64(max(0, d)))
}

// Counts reads the histogram. Durations observed meanwhile may or may not be in it.
func (h *Histogram) Counts() *Counts {
	c := &Counts{}
	for i := range h.stripes {
		for b := range c.bucket {
			n := h.stripes[i].count[b].Load()
			c.bucket[b] += n
			c.Total += n
		}
		c.Sum += time.Duration(h.stripes[i].nanos.Load())
	}
	return c
}

// Since returns what was counted after an earlier reading of the same histogram.
func (c *Counts) Since(earlier *Counts) *Counts {
	d := &Counts{Total: c.Total - earlier.Total, Sum: c.Sum - earlier.Sum}
	for b := range d.bucket {
		d.bucket[b] = c.bucket[b] - earlier.bucket[b]
	}
	return d
}

// Quantile returns the upper edge of the bucket in which the q-th of the durations lies; 0 when there are none.
func (c *Counts) Quantile(q float64) time.Duration {
	if c.Total == 0 {
		return 0
	}
	rank := uint64(q * float64(c.Total))
	var seen uint64
	for b, n := range c.bucket {
		seen += n
		if seen > rank || seen == c.Total {
			return upperEdge(b)
		}
	}
	return upperEdge(buckets - 1)
}

// Below returns how many durations are at most d, to the precision of the buckets.
func (c *Counts) Below(d time.Duration) uint64 {
	var seen uint64
	for b, n := range c.bucket {
		if upperEdge(b) > d {
			break
		}
		seen += n
	}
	return seen
}

// bucketOf finds the bucket whose upper edge is the first not below d: whole microseconds up to 16, then sixteen
// steps for each doubling.
func bucketOf(d time.Duration) int {
	if d <= time.Microsecond {
		return 0
	}
	micros := uint64((d - 1) / time.Microsecond)
	if micros < steps {
		return int(micros)
	}
	exponent := bits.Len64(micros) - 1 - stepsBits
	return min((exponent+1)*steps+int(micros>>exponent)-steps, buckets-1)
}

func upperEdge(bucket int) time.Duration {
	if bucket < steps {
		return time.Duration(bucket+1) * time.Microsecond
	}
	exponent, step := bucket/steps-1, bucket%steps
	return time.Duration(uint64(steps+step+1)<<exponent) * time.Microsecond
}
