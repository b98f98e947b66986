package stages

import (
	"fmt"
	"math"
	"slices"
)

// Summary is what a molecule's heats of formation come to; all in kcal/mol at 298.15 K.
type Summary struct {
	HOF           []*float64 `json:"hof"`               // of each conformer, in the order given; nil for one that was left out
	MostStableHOF float64    `json:"most_stable_hof"`   // the lowest
	Spread        float64    `json:"spread"`            // the highest less the lowest
	Rank          int        `json:"rank"`              // place of the lowest in the order given, from 1
	Unique        int        `json:"conformers_unique"` // how many differ
}

// Summarise takes the heats of formation of a molecule's conformers (kcal/mol), in the order of their GFN2 energies; nil for one that was left out. Those
// within tolerance (kcal/mol) of the lowest of a group are one conformer: different starts fall into the same minimum.
func Summarise(hofs []*float64, tolerance float64) (Summary, error) {
	var sorted []float64
	for _, h := range hofs {
		if h != nil {
			sorted = append(sorted, *h)
		}
	}
	if len(sorted) == 0 {
		return Summary{}, fmt.Errorf("no heat of formation: no conformer was computed")
	}
	if !(tolerance >= 0) {
		return Summary{}, fmt.Errorf("the tolerance is %g kcal/mol, want 0 or more", tolerance)
	}
	slices.Sort(sorted)
	lowest := sorted[0]
	rank := slices.IndexFunc(hofs, func(h *float64) bool { return h != nil && *h == lowest }) + 1
	s := Summary{HOF: hofs, MostStableHOF: lowest, Spread: sorted[len(sorted)-1] - lowest, Rank: rank}
	group := math.Inf(-1)
	for _, h := range sorted {
		if h-group > tolerance {
			s.Unique, group = s.Unique+1, h
		}
	}
	return s, nil
}

// shortCarbons is a distance between the triple bonds of PM7 and GFN2 (1.20 Å), with those in between (butatriene 1.26 Å), and their
// double bonds (1.32 Å). MOPAC before 23.2 has a step at 1.27 Å.
const shortCarbons = 1.29

// TripleBonds counts the pairs of carbon atoms that are nearer than 1.29 Å. MOPAC before 23.2 adds 12 kcal/mol for each C≡C of
// the geometry that it starts from, and does not look again when the bond is another one at the end
// (openmopac/mopac issue 258): where there is such a pair, the heat of formation needs a second look.
func TripleBonds(f Frame) (int, error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	count := 0
	for i := range f.Symbols {
		for j := range i {
			if f.Symbols[i] == "C" && f.Symbols[j] == "C" && f.distance(i, j) < shortCarbons {
				count++
			}
		}
	}
	return count, nil
}

// Scaled is a frame with all coordinates multiplied: every bond is longer or shorter by that factor, and every angle and torsion is
// kept. Its energy is nil: it was of the other geometry.
func Scaled(f Frame, factor float64) (Frame, error) {
	if err := f.check(); err != nil {
		return Frame{}, err
	}
	if !(factor > 0.5 && factor < 2) {
		return Frame{}, fmt.Errorf("the factor is %g, want one between 0.5 and 2", factor)
	}
	f.Coords = slices.Clone(f.Coords)
	for i := range f.Coords {
		f.Coords[i] *= factor
	}
	f.Energy = nil
	return f, nil
}

// MoleculeChanges says how a geometry has become another molecule than the one of a molfile with the same atoms in the same order: other bonds (as
// BondChanges says), or, against the geometry that it came from, an atom turned inside out or a double bond turned over. "" when it is the same.
func MoleculeChanges(molfile string, from, to Frame) (string, error) {
	data, err := readFile(molfile)
	if err != nil {
		return "", readError(err)
	}
	symbols, bonds, err := ParseMolfile(data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", molfile, err)
	}
	if _, err = from.bondChanges(symbols, bonds); err != nil { // only to know that the atoms are the same
		return "", fmt.Errorf("%s: the geometry before: %w", molfile, err)
	}
	changes, err := to.bondChanges(symbols, bonds)
	if err != nil {
		return "", fmt.Errorf("%s: %w", molfile, err)
	}
	if changes != "" {
		return changes, nil
	}
	return NewMatcher(symbols, bonds).turnedOver(from, to), nil
}
