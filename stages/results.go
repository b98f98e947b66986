package stages

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The names in the shipped pipeline: stages, and outputs and values of these.
const (
	moleculeStage    = "rdkit"
	moleculeOutput   = "molfile"    // the bonds
	propertiesOutput = "properties" // the InChIKeys
	ensembleStage    = "search"
	mergedStage      = "conformers" // of two searches
	ensembleOutput   = "ensemble"   // the energies of GFN2-xTB
	isomerStage      = "isomer"     // its value smiles: the stereoisomer
	geometryStage    = "pm7"        // one target a conformer
	geometryOutput   = "aux"
	lowestStage      = "lowest"  // its value rank: the lowest conformer, from 1
	minimumStage     = "minimum" // the second optimisation of that conformer
	finalStage       = "final"   // its value hof: a list, one of each conformer
)

// tolerances say how far a value may be from that of another computation. For 509 of 513 small
// species the heat of formation by MOPAC 22.0.6 is within 0.05 kcal/mol of the one published with
// MOPAC; the other tolerances are choices of the same order.
var tolerances = map[string]float64{
	"hof": 0.05, "most_stable_hof": 0.05, "spread": 0.1, // kcal/mol
	"delta_1": 0.05, "delta_2": 0.05, "delta_3": 0.05, // kcal/mol
	"energy": 1e-4,               // hartree; 0.06 kcal/mol
	"homo":   0.01, "lumo": 0.01, // eV
	"dipole": 0.05, // debye
}

// Tolerance is how far a number may be from the same number of another computation. The number is
// a column of the table or a value of a target, as pm7/1.hof. It is 0 for a number that must be the
// same, and for one that is not compared: the stage minimum may stop short on one processor alone,
// and the lower of two results counts.
func Tolerance(name string) float64 {
	target, value, ok := strings.Cut(name, ".")
	if target == minimumStage {
		return 0
	}
	if !ok {
		value = target
	}
	return tolerances[value]
}

// Results are the successful results of one molecule. A pipeline with other names of stages has no
// conformers.
type Results struct {
	Targets []string                           // that have a result
	Value   func(target, name string) any      // nil if there is none
	File    func(target, output string) string // the path of an output, "" if there is none
}

// Conformers are the conformers that have a geometry, in the order of GFN2-xTB; none if there are no
// results. c has what the table says of the molecule.
func (r Results) Conformers(c Conformer) (out []Conformer, err error) {
	molfile := r.File(moleculeStage, moleculeOutput)
	if molfile == "" {
		return nil, nil
	}
	if c.Molfile, err = ReadMolfile(molfile); err != nil {
		return nil, err
	}
	c.Isomer, _ = r.Value(isomerStage, "smiles").(string)
	c.InChIKey = InChIKey(r.File(moleculeStage, propertiesOutput), c.Isomer)
	var energies []Frame
	file := cmp.Or(r.File(mergedStage, ensembleOutput), r.File(ensembleStage, ensembleOutput))
	if file != "" {
		if energies, err = Ensemble(file); err != nil {
			return nil, err
		}
	}
	energies = OfIsomer(energies, c.Isomer)
	for _, target := range r.Targets {
		number, ok := strings.CutPrefix(target, geometryStage+"/")
		if c.Rank, err = strconv.Atoi(number); !ok || err != nil {
			continue
		}
		c.GFN2 = nil
		if c.Rank <= len(energies) {
			c.GFN2 = energies[c.Rank-1].Energy
		}
		if err := r.finish(&c); err != nil {
			return nil, fmt.Errorf("%s, conformer %d: %w", c.Molecule, c.Rank, err)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Conformer) int { return a.Rank - b.Rank })
	return out, nil
}

// finish reads the final geometry of a conformer. The heat of formation is that of the stage final:
// corrected where MOPAC counted the triple bonds of another geometry.
func (r Results) finish(c *Conformer) (err error) {
	target := r.Final(c.Rank)
	c.Method, _ = r.Value(target, "method").(string)
	hof := r.Value(target, "hof")
	if list, _ := r.Value(finalStage, "hof").([]any); c.Rank <= len(list) && list[c.Rank-1] != nil {
		hof = list[c.Rank-1]
	}
	c.HOF, _ = hof.(float64)
	file := r.File(target, geometryOutput)
	if file == "" {
		return fmt.Errorf("%s/%s has no output %q, which holds the geometry",
			c.Molecule, target, geometryOutput)
	}
	c.Frame, err = MOPACGeometry(file)
	return err
}

// Final names the target that has the final geometry of a conformer, by its rank from 1. That is its
// pm7 target or, of the lowest conformer, the stage minimum if its heat of formation is lower.
func (r Results) Final(rank int) string {
	target := fmt.Sprintf("%s/%d", geometryStage, rank)
	lowest, _ := r.Value(lowestStage, "rank").(float64)
	first, _ := r.Value(target, "hof").(float64)
	second, ok := r.Value(minimumStage, "hof").(float64)
	if ok && int(lowest) == rank && second < first {
		return minimumStage
	}
	return target
}
