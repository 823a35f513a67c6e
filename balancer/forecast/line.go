// Package forecast tells how many clients a fleet will have by the time a new pod can serve.
package forecast

import (
	"errors"
	"math"
)

// Point is one reading of a quantity.
type Point struct {
	// At is seconds on any one clock.
	At float64
	// Value is the reading.
	Value float64
}

// Line is the least-squares line through some points.
type Line struct {
	// Slope is the change a second.
	Slope float64 `json:"slope"`
	// Fit is the share of the variance that the line explains: 0 to 1; 0 when there is none.
	Fit float64 `json:"fit"`
	// Error is the standard error of the slope, a second.
	Error float64 `json:"error"`
	// Points is how many readings the line was drawn through.
	Points int `json:"points"`
}

// Through draws the line through the points, in any order. Fewer than three points, or points at one time, have no slope.
func Through(points []Point) Line {
	n := float64(len(points))
	line := Line{Points: len(points)}
	if len(points) < 3 {
		return line
	}
	var meanAt, mean float64
	for _, p := range points {
		meanAt += p.At / n
		mean += p.Value / n
	}
	var xx, xy, yy float64
	for _, p := range points {
		x, y := p.At-meanAt, p.Value-mean
		xx += x * x
		xy += x * y
		yy += y * y
	}
	if !(xx > 0) || !(yy > 0) || math.IsInf(yy, 0) || math.IsNaN(xy) {
		return line
	}
	line.Slope = xy / xx
	line.Fit = min(1, xy*xy/(xx*yy))
	line.Error = math.Sqrt(max(0, (yy-xy*xy/xx)/(n-2)/xx))
	return line
}

// Validate refuses a line that no points give.
func (l Line) Validate() error {
	if !(math.Abs(l.Slope) <= math.MaxFloat64 && l.Fit >= 0 && l.Fit <= 1 && l.Error >= 0 && l.Error <= math.MaxFloat64) || l.Points < 0 {
		return errors.New("line has a slope, a fit or a number of points that no points give")
	}
	return nil
}
