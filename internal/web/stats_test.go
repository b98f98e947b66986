package web

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9*max(1, math.Abs(b)) }

// The values are those of numpy: mean(x), mean(abs(x)), sqrt(mean(x*x)), quantile(abs(x), 0.95).
func TestSummarise(t *testing.T) {
	for _, test := range []struct {
		signed                    []float64
		mean, mae, rmse, p95, top float64
	}{
		{[]float64{2}, 2, 2, 2, 2, 2},
		{[]float64{-3, 4}, 0.5, 3.5, math.Sqrt(12.5), 3.95, 4},
		{[]float64{1, -2, 3, -4, 5}, 0.6, 3, math.Sqrt(11), 4.8, 5},
		{[]float64{0, 0, 0}, 0, 0, 0, 0, 0},
		{[]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -9}, 11.0 / 21,
			29.0 / 21,
			math.Sqrt(101.0 / 21), 1, 9},
	} {
		d := Summarise(test.signed)
		got := []float64{d.Mean.Value, d.MAE.Value, d.RMSE.Value, d.P95.Value, d.Max}
		want := []float64{test.mean, test.mae, test.rmse, test.p95, test.top}
		for i := range got {
			if !near(got[i], want[i]) {
				t.Errorf("%v: number %d is %v, want %v", test.signed, i, got[i], want[i])
			}
		}
		for _, e := range []Estimate{d.Mean, d.MAE, d.RMSE, d.P95} {
			if e.Low > e.Value+1e-9 || e.High < e.Value-1e-9 {
				t.Errorf("%v: %v is outside of its interval", test.signed, e)
			}
		}
	}
	if d := Summarise(nil); d != (Deviation{}) {
		t.Errorf("of nothing: %v", d)
	}
}

// TestInterval compares the bootstrap's interval of the mean with the one of theory for a normal
// sample, mean ± 1.96 s/√n. It also checks that the interval is the same each time.
func TestInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	signed := make([]float64, 400)
	sum, squares := 0.0, 0.0
	for i := range signed {
		signed[i] = 2 + 3*random.NormFloat64()
		sum, squares = sum+signed[i], squares+signed[i]*signed[i]
	}
	d := Summarise(signed)
	n := float64(len(signed))
	half := 1.96 * math.Sqrt((squares/n-sum/n*sum/n)/n)
	if math.Abs(d.Mean.High-d.Mean.Value-half) > 0.1*half ||
		math.Abs(d.Mean.Value-d.Mean.Low-half) > 0.1*half {
		t.Errorf("interval of the mean %v, want ± %v", d.Mean, half)
	}
	slices.Reverse(signed)
	again := Summarise(signed)
	if math.Abs(again.MAE.Low-d.MAE.Low) > 1e-9 || math.Abs(again.P95.High-d.P95.High) > 1e-9 {
		t.Errorf("%v, then %v", d, again)
	}
}

// TestQuantileOfCounts compares the quantile by counts with that of the values written out.
func TestQuantileOfCounts(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n < 60; n++ {
		values := make([]float64, n)
		for i := range values {
			values[i] = random.NormFloat64()
		}
		s := newSample(values)
		counts, drawn := make([]int32, n), []float64{}
		for range n {
			i := random.IntN(n)
			counts[i]++
			drawn = append(drawn, math.Abs(s.values[i]))
		}
		slices.Sort(drawn)
		for _, q := range []float64{0, 0.5, 0.95, 1} {
			if got, want := s.quantile(counts, q), Quantile(drawn, q); !near(got, want) {
				t.Fatalf("n %d, q %v: %v, want %v", n, q, got, want)
			}
		}
	}
}

func BenchmarkSummarise(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	signed := make([]float64, 100_000)
	for i := range signed {
		signed[i] = random.NormFloat64()
	}
	for b.Loop() {
		Summarise(signed)
	}
}
