package stages

import (
	"math"
	"slices"
	"testing"
)

func hofs(values ...float64) (out []*float64) {
	for _, v := range values {
		out = append(out, &v)
	}
	return out
}

func TestSummarise(t *testing.T) {
	for _, test := range []struct {
		name      string
		hofs      []*float64
		tolerance float64
		want      Summary
	}{
		{"one", hofs(-14.4), 0.02, Summary{MostStableHOF: -14.4, Rank: 1, Unique: 1}},
		{"the second is the lowest", hofs(-67.53, -67.68, -67.50), 0.02, Summary{MostStableHOF: -67.68, Spread: 0.18, Rank: 2, Unique: 3}},
		{"two in one minimum", hofs(-117.406, -117.758, -117.407), 0.02, Summary{MostStableHOF: -117.758, Spread: 0.352, Rank: 2, Unique: 2}},
		{"equal ones: the first", hofs(1, 1, 1), 0, Summary{MostStableHOF: 1, Rank: 1, Unique: 1}},
		{"a chain is not one", hofs(0, 0.75, 1.5), 1, Summary{MostStableHOF: 0, Spread: 1.5, Rank: 1, Unique: 2}},
		{"one was left out", []*float64{nil, hofs(-67.53)[0], nil, hofs(-67.68)[0]}, 0.02, Summary{MostStableHOF: -67.68, Spread: 0.15, Rank: 4, Unique: 2}},
		{"at the tolerance", hofs(0, 0.5), 0.5, Summary{MostStableHOF: 0, Spread: 0.5, Rank: 1, Unique: 1}},
	} {
		got, err := Summarise(test.hofs, test.tolerance)
		if err != nil || !slices.Equal(got.HOF, test.hofs) || got.MostStableHOF != test.want.MostStableHOF ||
			math.Abs(got.Spread-test.want.Spread) > 1e-9 || got.Rank != test.want.Rank || got.Unique != test.want.Unique {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
	for _, bad := range []struct {
		hofs      []*float64
		tolerance float64
	}{{nil, 0.02}, {[]*float64{nil, nil}, 0.02}, {hofs(1), -1}, {hofs(1), math.NaN()}} {
		if got, err := Summarise(bad.hofs, bad.tolerance); err == nil {
			t.Errorf("%v, %g: %+v, want an error", bad.hofs, bad.tolerance, got)
		}
	}
}

func carbons(distances ...float64) Frame {
	f := Frame{Symbols: []string{"C"}, Coords: []float64{0, 0, 0}}
	x := 0.0
	for _, d := range distances {
		x += d
		f.Symbols, f.Coords = append(f.Symbols, "C"), append(f.Coords, x, 0, 0)
	}
	return f
}

func TestTripleBonds(t *testing.T) {
	nitrile := carbons(1.16)
	nitrile.Symbols[1] = "N"
	for _, test := range []struct {
		name  string
		frame Frame
		want  int
	}{
		{"2-butyne", carbons(1.43, 1.21, 1.43), 1},
		{"butadiyne", carbons(1.21, 1.36, 1.21), 2},
		{"butatriene", carbons(1.31, 1.265, 1.31), 1},
		{"allene", carbons(1.31, 1.31), 0},
		{"a nitrile", nitrile, 0},
		{"one atom", carbons(), 0},
	} {
		if got, err := TripleBonds(test.frame); err != nil || got != test.want {
			t.Errorf("%s: %d, %v, want %d", test.name, got, err, test.want)
		}
	}
	if _, err := TripleBonds(Frame{}); err == nil {
		t.Error("a geometry without atoms is taken")
	}
}

func TestScaled(t *testing.T) {
	energy, start := -5.0, carbons(1.2)
	start.Energy = &energy
	got, err := Scaled(start, 1.5)
	if err != nil || math.Abs(got.distance(0, 1)-1.8) > 1e-12 || got.Energy != nil || start.Coords[3] != 1.2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, factor := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := Scaled(start, factor); err == nil {
			t.Errorf("the factor %g is taken", factor)
		}
	}
}
