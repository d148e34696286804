// Package stats summarizes repeated measurements: a median, and the spread between rounds.
package stats

import (
	"math"
	"slices"
)

// Spread is the median of some measurements, with the smallest and the largest.
type Spread struct{ Median, Min, Max float64 }

// Of returns the spread of values; without values, all three are NaN.
func Of(values []float64) Spread {
	if len(values) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Spread{Quantile(sorted, 0.5), sorted[0], sorted[len(sorted)-1]}
}

// Ratios divides within each round, so that a disturbed round affects both sides of its ratio.
func Ratios(above, below []float64) []float64 {
	ratios := make([]float64, min(len(above), len(below)))
	for i := range ratios {
		ratios[i] = above[i] / below[i]
	}
	return ratios
}

// Quantile returns the value below which the part q of the sorted values lies, interpolated between its neighbors; NaN
// without values.
func Quantile[T ~int64 | ~float64](sorted []T, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return float64(sorted[low]) + (at-float64(low))*float64(sorted[high]-sorted[low])
}
