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
		{"the second is the lowest", hofs(-67.53, -67.68, -67.50), 0.02,
			Summary{MostStableHOF: -67.68, Spread: 0.18, Rank: 2, Unique: 3}},
		{"two in one minimum", hofs(-117.406, -117.758, -117.407), 0.02,
			Summary{MostStableHOF: -117.758, Spread: 0.352, Rank: 2, Unique: 2}},
		{"equal ones: the first", hofs(1, 1, 1), 0, Summary{MostStableHOF: 1, Rank: 1, Unique: 1}},
		{"a chain is not one", hofs(0, 0.75, 1.5), 1, Summary{MostStableHOF: 0, Spread: 1.5,
			Rank: 1, Unique: 2}},
		{"one was left out", []*float64{nil, hofs(-67.53)[0], nil, hofs(-67.68)[0]}, 0.02,
			Summary{MostStableHOF: -67.68, Spread: 0.15, Rank: 4, Unique: 2}},
		{"at the tolerance", hofs(0, 0.5), 0.5, Summary{MostStableHOF: 0, Spread: 0.5, Rank: 1,
			Unique: 1}},
	} {
		got, err := Summarise(test.hofs, test.tolerance)
		if err != nil || !slices.Equal(got.HOF, test.hofs) ||
			got.MostStableHOF != test.want.MostStableHOF ||
			math.Abs(got.Spread-test.want.Spread) > 1e-9 || got.Rank != test.want.Rank ||
			got.Unique != test.want.Unique {
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

func TestRefined(t *testing.T) {
	aux := func(name string) *string { return &name }
	first := []Result{{HOF: hofs(-1)[0], Aux: aux("a")}, {}, {HOF: hofs(-3)[0], Aux: aux("c")}}
	for _, test := range []struct {
		again Result
		want  string
	}{
		{Result{}, "c"},
		{Result{HOF: hofs(-2.9)[0], Aux: aux("again")}, "c"},
		{Result{HOF: hofs(-3.1)[0], Aux: aux("again")}, "again"},
	} {
		got, err := Refined(first, test.again)
		if err != nil || *got[2].Aux != test.want || *got[0].Aux != "a" || got[1].Aux != nil ||
			*first[2].Aux != "c" {
			t.Errorf("%v: %v, %v", test, got, err)
		}
	}
	_, err := Refined([]Result{{}}, first[0])
	wantError(t, err, "there is no number")
}
