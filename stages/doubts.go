package stages

import (
	"fmt"
	"math"
)

// maxDifference is how far PM7 and a reference may lie apart before the reference is doubted,
// kcal/mol. It is five times 10.0, the 95th percentile of PM7's error on neutral molecules of C, H,
// N and O. The errors are from the values shipped with MOPAC. Radicals and ions are worse.
const maxDifference = 50

// Row is what a row of the table says of its molecule; nil where it says nothing.
type Row struct {
	SMILES         string
	Charge         int64
	Heavy          *int64   // nheavy
	Reference, HOF *float64 // H298_cbs and most_stable_hof, kcal/mol
}

// Doubt is a cell of a row that can't be right, or hardly, and what it should be.
type Doubt struct{ Column, Problem, Want string }

// Doubts compares the numbers of a row with its SMILES and with each other.
func (r Row) Doubts() (out []Doubt) {
	doubt := func(column, want, problem string, args ...any) {
		out = append(out, Doubt{column, fmt.Sprintf(problem, args...), want})
	}
	atoms, err := ReadSMILES(r.SMILES)
	if err == nil && r.Heavy != nil && int64(atoms.Heavy()) != *r.Heavy {
		doubt("nheavy", "the number of atoms that are not hydrogen, or nothing",
			"the SMILES %s has %d heavy atoms", r.SMILES, atoms.Heavy())
	}
	if err == nil && int64(atoms.Charge()) != r.Charge {
		doubt("charge", "the charge of the SMILES",
			"the SMILES %s has the charge %d", r.SMILES, atoms.Charge())
	}
	if r.Reference == nil {
		return out
	}
	low, high, ok := atoms.EnthalpyRange(int(r.Charge))
	if err == nil && ok && (*r.Reference < low || *r.Reference > high) {
		doubt("H298_cbs", "the enthalpy of formation in kcal/mol at 298.15 K, not a total "+
			"energy, not in another unit",
			"no %s can have that: its bonds allow %g to %g kcal/mol", r.SMILES, low, high)
	} else if r.HOF != nil && math.Abs(*r.HOF-*r.Reference) > maxDifference {
		doubt("H298_cbs",
			fmt.Sprintf("a difference below %d, unless this molecule is hard for PM7",
				maxDifference),
			"PM7 gives %g kcal/mol, %.0f away", *r.HOF, math.Abs(*r.HOF-*r.Reference))
	}
	return out
}
