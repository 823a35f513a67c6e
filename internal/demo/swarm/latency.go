package swarm

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// latency is a histogram with buckets an eighth of a power of two wide: quantiles are right within 9 %.
type latency struct {
	buckets [64 * 8]atomic.Uint64
	most    atomic.Int64
}

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 1))
	exponent := bits.Len64(v) - 1
	fraction := 0
	if exponent >= 3 {
		fraction = int(v>>(exponent-3)) & 7
	}
	return exponent*8 + fraction
}

// upper is the largest duration of a bucket.
func upper(bucket int) time.Duration {
	exponent, fraction := bucket/8, bucket%8
	return time.Duration(math.Ldexp(1+float64(fraction+1)/8, exponent))
}

func (l *latency) add(d time.Duration) {
	l.buckets[bucketOf(d)].Add(1)
	for {
		most := l.most.Load()
		if int64(d) <= most || l.most.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// quantile returns the duration that the share q of all stayed under; zero without any.
func (l *latency) quantile(q float64) time.Duration {
	var total uint64
	for i := range l.buckets {
		total += l.buckets[i].Load()
	}
	if total == 0 {
		return 0
	}
	rank, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for i := range l.buckets {
		if seen += l.buckets[i].Load(); seen >= rank {
			return min(upper(i), l.slowest())
		}
	}
	return l.slowest()
}

func (l *latency) slowest() time.Duration { return time.Duration(l.most.Load()) }
