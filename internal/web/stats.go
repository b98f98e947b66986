package web

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Estimate is a number of a sample, with its 95 % interval by the bootstrap (percentile method).
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Deviation sums up signed deviations, in their unit. With N = 0 the rest is 0.
type Deviation struct {
	N    int      `json:"n"`
	Mean Estimate `json:"mean"`
	MAE  Estimate `json:"mae"` // mean absolute deviation
	RMSE Estimate `json:"rmse"`
	P95  Estimate `json:"p95"` // of the absolute deviations
	Max  float64  `json:"max"` // absolute
}

// The bootstrap draws the same numbers each time. Above manyValues its intervals are so narrow that
// fewer rounds do.
const (
	seed       = 20150517
	rounds     = 1000
	manyValues = 10_000
	fewRounds  = 200
)

// Rounds is how many samples the bootstrap draws of n values.
func Rounds(n int) int {
	if n > manyValues {
		return fewRounds
	}
	return rounds
}

// Summarise returns the statistics of signed deviations. The quantile interpolates between the two
// nearest values.
func Summarise(signed []float64) Deviation {
	d := Deviation{N: len(signed)}
	if d.N == 0 {
		return d
	}
	s := newSample(signed)
	estimates := []*Estimate{&d.Mean, &d.MAE, &d.RMSE, &d.P95}
	for i, v := range s.whole() {
		estimates[i].Value = v
	}
	d.Max = math.Abs(s.values[d.N-1])
	drawn := s.bootstrap()
	for i, e := range estimates {
		slices.Sort(drawn[i])
		e.Low, e.High = Quantile(drawn[i], 0.025), Quantile(drawn[i], 0.975)
	}
	return d
}

// sample is deviations in the order of their absolute values.
type sample struct{ values []float64 }

func newSample(signed []float64) sample {
	values := slices.Clone(signed)
	slices.SortFunc(values, func(a, b float64) int {
		return cmp.Compare(math.Abs(a), math.Abs(b))
	})
	return sample{values}
}

// whole are the statistics of the sample itself.
func (s sample) whole() [4]float64 {
	return s.statistics(slices.Repeat([]int32{1}, len(s.values)))
}

// statistics are mean, MAE, RMSE and P95 of a sample in which value i is there counts[i] times.
func (s sample) statistics(counts []int32) [4]float64 {
	var sum, absolute, square float64
	for i, v := range s.values {
		c := float64(counts[i])
		sum += c * v
		absolute += c * math.Abs(v)
		square += c * v * v
	}
	n := float64(len(s.values))
	return [4]float64{sum / n, absolute / n, math.Sqrt(square / n), s.quantile(counts, 0.95)}
}

// quantile is a quantile of the absolute values of such a sample.
func (s sample) quantile(counts []int32, q float64) float64 {
	n := len(s.values)
	whole, share := math.Modf(q * float64(n-1))
	above := n - 1 - int(whole) // so many values are above the lower neighbour
	upper, seen := math.NaN(), 0
	for i := n - 1; i >= 0; i-- {
		seen += int(counts[i])
		if math.IsNaN(upper) && seen >= max(above, 1) {
			upper = math.Abs(s.values[i])
		}
		if seen > above {
			return math.Abs(s.values[i])*(1-share) + upper*share
		}
	}
	return upper
}

// bootstrap returns the statistics of samples that are drawn with replacement.
func (s sample) bootstrap() (drawn [4][]float64) {
	n := len(s.values)
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	counts := make([]int32, n)
	for range Rounds(n) {
		clear(counts)
		for range n {
			counts[random.IntN(n)]++
		}
		for k, v := range s.statistics(counts) {
			drawn[k] = append(drawn[k], v)
		}
	}
	return drawn
}

// Quantile interpolates between the two nearest of sorted numbers; 0 of none.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at, share := math.Modf(q * float64(len(sorted)-1))
	next := min(int(at)+1, len(sorted)-1)
	return (1-share)*sorted[int(at)] + share*sorted[next]
}

// moments are the mean and the variance of the mean.
func moments(sum, squares float64, n int) (mean, variance float64) {
	if n < 2 {
		return sum, math.Inf(1)
	}
	mean = sum / float64(n)
	return mean, max(0, squares/float64(n)-mean*mean) / float64(n-1)
}
