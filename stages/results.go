package stages

import (
	"fmt"
	"strings"
)

// Export is what the block export of pipeline.hcl says of a molecule. A field is nil if the
// pipeline leaves it out, or the molecule has no such result.
type Export struct {
	Molfile    *string           `cty:"molfile"`  // the path of an MDL molfile: bonds and charges
	Isomer     *string           `cty:"isomer"`   // the SMILES of the stereoisomer
	InChIKey   *string           `cty:"inchikey"` // of the isomer
	Conformers []ExportConformer `cty:"conformers"`
}

// ExportConformer is one conformer of the block export. They are in the order of GFN2-xTB.
type ExportConformer struct {
	Geometry *string  `cty:"geometry"` // the path of a .aux file of MOPAC; nil if PM7 failed
	HOF      *float64 `cty:"hof"`      // heat of formation at 298.15 K, kcal/mol; nil if PM7 failed
	Method   *string  `cty:"method"`   // as "PM7"
	Rank     *int     `cty:"rank"`     // place in the order of GFN2-xTB, from 1
	Energy   *float64 `cty:"energy"`   // total energy by GFN2-xTB, hartree
	HOMO     *float64 `cty:"homo"`     // eV
	LUMO     *float64 `cty:"lumo"`     // eV
	Dipole   *float64 `cty:"dipole"`   // debye
	Gradient *float64 `cty:"gradient"` // norm, kcal/mol/Å
}

// Conformers are those of a block export that PM7 has finished, in its order. c has what the table
// says of the molecule. The error names the file that can't be read.
func Conformers(e Export, c Conformer) (out []Conformer, err error) {
	if e.Molfile == nil {
		return nil, nil
	}
	if c.Molfile, err = readFile(*e.Molfile); err != nil {
		return nil, err
	}
	c.Isomer, c.InChIKey = orNone(e.Isomer), orNone(e.InChIKey)
	for i, x := range e.Conformers {
		if x.Geometry == nil || x.HOF == nil {
			continue
		}
		c.Rank = i + 1
		if x.Rank != nil {
			c.Rank = *x.Rank
		}
		c.HOF, c.Method, c.GFN2 = *x.HOF, orNone(x.Method), x.Energy
		c.HOMO, c.LUMO, c.Dipole, c.Gradient = x.HOMO, x.LUMO, x.Dipole, x.Gradient
		if c.Frame, err = MOPACGeometry(*x.Geometry); err != nil {
			return nil, fmt.Errorf("%s, conformer %d: %w", c.Molecule, c.Rank, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func orNone(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// tolerances say how far a value may be from that of another computation. For 509 of 513 small
// species the heat of formation by MOPAC 22.0.6 is within 0.05 kcal/mol of the one published with
// MOPAC. The other tolerances are choices of the same order.
var tolerances = map[string]float64{
	"hof": 0.05, "most_stable_hof": 0.05, // kcal/mol
	"delta_1": 0.05, "delta_2": 0.05, "delta_3": 0.05, // kcal/mol
	"energy": 1e-4, // hartree; 0.06 kcal/mol
}

// Tolerance is how far a number may be from the same number of another computation. The name is a
// column of the table, or hof or energy of a conformer, as "conformer 1: hof". It is 0 for a number
// that must be the same.
func Tolerance(name string) float64 {
	_, value, ofConformer := strings.Cut(name, ": ")
	if !ofConformer {
		value = name
	}
	return tolerances[value]
}
