package forecast

import "github.com/tidegate/tidegate/balancer/policy"

const (
	// fewestPoints is how many readings a line needs before it is believed: fewer let one jump look like a trend.
	fewestPoints = 8
	// smallestChange is the part of the level that must come or go over the line's window; less is dust.
	smallestChange = 0.01
	// contradiction is how many standard errors the quick line may lie away from the slow one and still agree with it.
	contradiction = 3
)

// Trend is how fast clients come: clients a second, 0 when they do not or when it cannot be told. The quick line is
// believed first; the slow one only while the quick one does not contradict it, so that a ramp that has ended is seen to
// have ended. A falling trend is not believed: the scale-in delay answers for quiet, and a forecast never promises less than there is.
func Trend(p policy.Policy, level float64, quick, slow Line) float64 {
	switch {
	case significant(p, level, quick, p.SlopeShort.Seconds()):
		return quick.Slope
	case significant(p, level, slow, p.SlopeLong.Seconds()) && agrees(quick, slow):
		return slow.Slope
	default:
		return 0
	}
}

// Limited is a trend of connected clients that is not steeper than that of all demand: while a queue is let in the nodes fill
// faster than clients come. A line through too few readings limits nothing.
func Limited(slope float64, demand Line) float64 {
	if demand.Points < fewestLimit {
		return slope
	}
	return min(slope, max(0, demand.Slope))
}

// fewestLimit is how many readings of all demand limit a trend.
const fewestLimit = 4

func significant(p policy.Policy, level float64, l Line, window float64) bool {
	return l.Points >= fewestPoints && l.Slope > 0 && l.Fit >= p.SlopeFit && l.Slope*window > smallestChange*level
}

func agrees(quick, slow Line) bool {
	return quick.Points < fewestPoints || slow.Slope-quick.Slope <= contradiction*quick.Error
}

// Ahead is the level carried forward: slope times how far ahead, in seconds, never below the level and at most ForecastCap
// times it. A level that is not above zero has no forecast but itself.
func Ahead(p policy.Policy, level, slope, seconds float64) float64 {
	if !(level > 0) {
		return 0
	}
	ahead := level + slope*seconds
	// Written so that NaN falls back to the level.
	if !(ahead > level) {
		return level
	}
	return min(ahead, p.ForecastCap*level)
}
