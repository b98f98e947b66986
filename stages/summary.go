package stages

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Result is what is needed of one result of MOPAC. The fields are nil if the run failed.
type Result struct {
	HOF      *float64 `cty:"hof"`           // kcal/mol at 298.15 K
	Aux      *string  `cty:"aux"`           // the path of the .aux file, which has the geometry
	Method   *string  `cty:"method"`        // as "PM7"
	HOMO     *float64 `cty:"homo"`          // eV
	LUMO     *float64 `cty:"lumo"`          // eV
	Dipole   *float64 `cty:"dipole"`        // debye
	Gradient *float64 `cty:"gradient_norm"` // kcal/mol/Å
}

// Lowest is the place of the lowest number, from 0; of equal ones the first. Nil is passed over.
func Lowest(numbers []*float64) (int, error) {
	lowest := -1
	for i, x := range numbers {
		if x != nil && (lowest < 0 || *x < *numbers[lowest]) {
			lowest = i
		}
	}
	if lowest < 0 {
		return 0, errors.New("there is no number")
	}
	return lowest, nil
}

// Promising are the places, from 0, of the conformers that PM7 optimises. conformers is how many
// there are, in the order of GFN2-xTB. The first ones are optimised. So are up to as many others,
// if their single point by PM7 (kcal/mol) is lower than that of each of the first. singles may be
// shorter, and has nil for one that failed.
//
// In glucose PM7 has its lowest conformer 3.2 kcal/mol below the best of GFN2-xTB's first three. It
// is the ninth by GFN2-xTB, and the second by the single points.
func Promising(conformers int, singles []*float64, first int) []int {
	lowest, places := math.Inf(1), []int{}
	var others []int
	for i := range conformers {
		single := math.Inf(1)
		if i < len(singles) && singles[i] != nil {
			single = *singles[i]
		}
		if i < first {
			lowest, places = min(lowest, single), append(places, i)
		} else if single < lowest {
			others = append(others, i)
		}
	}
	if math.IsInf(lowest, 1) {
		return places
	}
	slices.SortStableFunc(others, func(a, b int) int {
		return cmp.Compare(*singles[a], *singles[b])
	})
	others = others[:min(len(others), first)]
	slices.Sort(others)
	return append(places, others...)
}

// Placed is a list with numbers at their places, from 0, and nil at all others.
func Placed(numbers []*float64, places []int) ([]*float64, error) {
	if len(numbers) != len(places) {
		return nil, fmt.Errorf("%d numbers are given for %d places", len(numbers), len(places))
	}
	var out []*float64
	for i, place := range places {
		if place < 0 || place > 1_000_000 {
			return nil, fmt.Errorf("there is no place %d", place)
		}
		out = append(out, make([]*float64, max(0, place+1-len(out)))...)
		out[place] = numbers[i]
	}
	return out, nil
}

// Refined is the results of conformers, the lowest replaced by a second result if that is lower.
func Refined(results []Result, again Result) ([]Result, error) {
	hofs := make([]*float64, len(results))
	for i, r := range results {
		hofs[i] = r.HOF
	}
	at, err := Lowest(hofs)
	if err != nil || again.HOF == nil || *again.HOF >= *hofs[at] {
		return results, err
	}
	results = slices.Clone(results)
	results[at] = again
	return results, nil
}

// Summary is what a molecule's heats of formation come to; all in kcal/mol at 298.15 K.
type Summary struct {
	// HOF has that of each conformer, in the order given, nil for one that was left out.
	HOF           []*float64 `cty:"hof"`
	MostStableHOF float64    `cty:"most_stable_hof"`   // the lowest
	Spread        float64    `cty:"spread"`            // the highest less the lowest
	Rank          int        `cty:"rank"`              // place of the lowest, from 1
	Unique        int        `cty:"conformers_unique"` // how many differ
}

// Summarise takes the heats of formation of a molecule's conformers (kcal/mol), in the order of
// their GFN2 energies; nil for one that was left out. Those within tolerance (kcal/mol) of the
// lowest of a group are one conformer: different starts fall into the same minimum.
func Summarise(hofs []*float64, tolerance float64) (Summary, error) {
	lowest, err := Lowest(hofs)
	if err != nil {
		return Summary{}, errors.New("no heat of formation: no conformer was computed")
	}
	if !(tolerance >= 0) {
		return Summary{}, fmt.Errorf("the tolerance is %g kcal/mol, want 0 or more", tolerance)
	}
	var sorted []float64
	for _, h := range hofs {
		if h != nil {
			sorted = append(sorted, *h)
		}
	}
	slices.Sort(sorted)
	s := Summary{HOF: hofs, MostStableHOF: sorted[0], Spread: sorted[len(sorted)-1] - sorted[0],
		Rank: lowest + 1}
	group := math.Inf(-1)
	for _, h := range sorted {
		if h-group > tolerance {
			s.Unique, group = s.Unique+1, h
		}
	}
	return s, nil
}
