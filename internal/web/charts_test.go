package web

import (
	"strings"
	"testing"
)

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", -0.05: "−0.05", 2500: "2500", 20_000: "20k",
		-50_000: "−50k", -1e9: "−1000M", 5e7: "50M", 1e-6: "0.000001"} {
		if got := short(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}

// TestHistogramLabels looks at the axis of deviations that are all the same, and of huge ones.
func TestHistogramLabels(t *testing.T) {
	for _, tt := range []struct {
		deviation float64
		want      string
	}{{0, "−0.1 −0.05 0 0.05 0.1"}, {1e9, "−1000M −500M 0 500M 1000M"}} {
		var texts []string
		for _, x := range histogram([]float64{tt.deviation, tt.deviation}).Xs {
			texts = append(texts, x.Text)
		}
		if got := strings.Join(texts, " "); got != tt.want {
			t.Errorf("%g: %s, want %s", tt.deviation, got, tt.want)
		}
	}
}
