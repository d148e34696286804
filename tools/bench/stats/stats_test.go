package stats_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/orga-session/orga-session/tools/bench/stats"
)

func Example() {
	peer, ours := []float64{400, 900, 420}, []float64{80, 150, 70} // the second round was disturbed
	s := stats.Of(stats.Ratios(peer, ours))
	fmt.Printf("%.1f times (%.1f to %.1f)\n", s.Median, s.Min, s.Max)
	// Output: 6.0 times (5.0 to 6.0)
}

func TestQuantile(t *testing.T) {
	for _, test := range []struct {
		sorted  []float64
		q, want float64
	}{
		{nil, 0.5, math.NaN()},
		{[]float64{7}, 0.99, 7},
		{[]float64{1, 2}, 0.5, 1.5},
		{[]float64{1, 2, 3, 4, 5}, 0.5, 3},
		{[]float64{1, 2, 3, 4, 5}, 1, 5},
		{[]float64{1, 2, 3, 4, 5}, 0.9, 4.6},
	} {
		got := stats.Quantile(test.sorted, test.q)
		if math.Abs(got-test.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(test.want) {
			t.Errorf("Quantile(%v, %g) = %g, want %g", test.sorted, test.q, got, test.want)
		}
	}
}

func TestOfNothing(t *testing.T) {
	if s := stats.Of(nil); !math.IsNaN(s.Median) || !math.IsNaN(s.Min) || !math.IsNaN(s.Max) {
		t.Errorf("the spread of nothing is %v, want NaN", s)
	}
}
