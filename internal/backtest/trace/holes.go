package trace

import (
	"fmt"
	"slices"
	"time"
)

// wideHole is how many times the usual distance of two samples makes a hole of it.
const wideHole = 10

// holes says in words where samples are missing: the load is a straight line there, which no load is.
func holes(samples []sample) []string {
	gaps := make([]time.Duration, 0, len(samples)-1)
	for i := 1; i < len(samples); i++ {
		gaps = append(gaps, samples[i].at.Sub(samples[i-1].at))
	}
	sorted := slices.Clone(gaps)
	slices.Sort(sorted)
	usual := sorted[(len(sorted)-1)/2]
	count, widest := 0, 0
	for i, gap := range gaps {
		if gap <= wideHole*usual {
			continue
		}
		count++
		if gap > gaps[widest] || count == 1 {
			widest = i
		}
	}
	if count == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d times no sample follows within %d times the usual %s, at the longest for %s after %s: the load is a straight line there",
		count, wideHole, usual, gaps[widest], samples[widest].at.Format(time.DateTime))}
}
