// Package stages knows what the files of the programs mean. It reads the geometries, the results
// and the failures of xTB, CREST and MOPAC. It says whether a geometry is still the molecule, and
// counts the electrons of a SMILES. Its commands, Builtins, sort what xTB gives. It knows nothing
// of scheduling, tables or HCL. It does not replace RDKit: RDKit says in molecule.json what the
// molecule is, and reads each SMILES that this package can't read.
package stages

import "slices"

// Function is one function that pipeline.hcl may call. Fn is a plain Go function whose types an
// expression can hold: strings, numbers, booleans, lists, and structs by the cty names of their
// fields. A pointer is for what may be null. The last result may be an error.
type Function struct {
	Name, Description, Example string

	Fn      any
	Version int      // bumped when the same bytes give another result: values are then read again
	Params  []string // names of its parameters, with their units
	Files   int      // so many of the first parameters are files of a stage
}

// Functions are the functions of this package that pipeline.hcl may call. A golden file in
// testdata/golden holds what each gives, with its version.
func Functions() []Function {
	return slices.Concat(geometryFunctions, programFunctions, moleculeFunctions)
}

var geometryFunctions = []Function{{
	Name: "xyz", Params: []string{"path"}, Files: 1, Fn: firstFrame, Version: 1,
	Description: "The first geometry of an xyz file: comment, energy (hartree), symbols, " +
		"coordinates (Å).",
	Example: "xyz(output.geometry).energy",
}, {
	Name: "xyz_text", Params: []string{"geometry"}, Fn: Frame.XYZ, Version: 1,
	Description: "The text of an xyz file of one geometry: a program can start from it.",
	Example:     "xyz_text(local.conformers[0])",
}, {
	Name: "geometries", Params: []string{"path"}, Files: 1, Fn: ReadXYZ, Version: 1,
	Description: "All geometries of an xyz file, as xyz gives them, in its order.",
	Example:     "geometries(stage.rdkit.pool)[0]",
}, {
	Name: "ensemble", Params: []string{"path"}, Files: 1, Fn: Ensemble, Version: 2,
	Description: "All geometries of an xyz file of conformers, as xyz gives them, the lowest " +
		"energy first.",
	Example: "first(3, ensemble(stage.search.ensemble))",
}, {
	Name: "isomers", Params: []string{"ensemble"}, Fn: Isomers, Version: 1,
	Description: "The first conformer of each stereoisomer of an ensemble, in its order.",
	Example:     "isomers(ensemble(stage.search.ensemble))",
}, {
	Name: "lowest_isomer", Params: []string{"ensemble", "hofs in kcal/mol"},
	Fn: LowestIsomer, Version: 1,
	Description: "The SMILES of the isomer with the lowest of hofs, one of each; of the first if " +
		"hofs is empty.",
	Example: "lowest_isomer(ensemble(stage.search.ensemble), stage.isomers[*].hof)",
}, {
	Name: "of_isomer", Params: []string{"ensemble", "smiles"}, Fn: OfIsomer, Version: 1,
	Description: "The conformers of an ensemble that are of one stereoisomer, in its order.",
	Example:     "of_isomer(ensemble(stage.search.ensemble), local.isomer)",
}, {
	Name:   "perturbed",
	Params: []string{"molecule", "geometry", "by", "seed"}, Files: 1,
	Fn: Perturbed, Version: 2,
	Description: "A geometry made asymmetric: rotors turned, atoms moved, bonds as long as before.",
	Example:     `perturbed(stage.rdkit.molecule, each.value, "0.15Å 20° 80° 100%", attempt)`,
}}

var programFunctions = []Function{{
	Name: "mopac", Params: []string{"out", "aux", "gradient in kcal/mol/Å"}, Files: 2,
	Fn: ReadMOPAC, Version: 4,
	Description: "The result of a MOPAC run; an error if it has none, or a soft stop left a " +
		"higher gradient.",
	Example: "mopac(output.out, output.aux, 0.5)",
}, {
	Name: "single_points", Params: []string{"out"}, Files: 1, Fn: SinglePoints, Version: 1,
	Description: "The heats of formation (kcal/mol) of many jobs titled \"single point 1\" and " +
		"on; null for a failure.",
	Example: "single_points(output.out)",
}, {
	Name:   "reached",
	Params: []string{"out", "molecule", "starts", "bonds"}, Files: 2,
	Fn: Reached, Version: 1,
	Description: "The lowest of optimisations titled \"start 1\" and on: hof (kcal/mol), " +
		"geometry; null if none.",
	Example: "reached(output.out, stage.rdkit.molecule, local.starts, local.bonds)",
}, {
	Name: "promising", Params: []string{"conformers", "singles in kcal/mol", "first"},
	Fn: Promising, Version: 1,
	Description: "Places, from 0: the first ones, and up to as many others with a lower single " +
		"point than these.",
	Example: "promising(length(local.conformers), coalesce(stage.single_points.energies, []), " +
		"var.conformers)",
}, {
	Name: "placed", Params: []string{"numbers", "places"}, Fn: Placed, Version: 1,
	Description: "A list with numbers at their places, from 0, and null at all others.",
	Example:     "placed(local.results[*].hof, local.places)",
}, {
	Name: "mopac_geometry", Params: []string{"aux"}, Files: 1, Fn: MOPACGeometry, Version: 2,
	Description: "The final geometry of a MOPAC run; AUX(PRECISION=9) gives it more than four " +
		"decimals.",
	Example: "mopac_geometry(output.aux)",
}, {
	Name: "mopac_state", Params: []string{"charge", "multiplicity"}, Fn: MOPACState, Version: 1,
	Description: `MOPAC's keywords for a charge and a multiplicity, as "CHARGE=-1 DOUBLET UHF".`,
	Example:     "mopac_state(mol.charge, mol.multiplicity)",
}, {
	Name: "mopac_cartesian", Params: []string{"geometry"}, Fn: MOPACCartesian, Version: 1,
	Description: "The geometry lines of a MOPAC input file, every coordinate free.",
	Example:     "mopac_cartesian(each.value)",
}, {
	Name: "xtb", Params: []string{"stdout"}, Files: 1, Fn: ReadXTB, Version: 2,
	Description: "The result of an xTB run, from its standard output; an error if it has none.",
	Example:     "xtb(output.log).homo_lumo_gap",
}, {
	Name: "lowest", Params: []string{"numbers"}, Fn: Lowest, Version: 1,
	Description: "The place of the lowest number in a list, from 0. Nulls are passed over.",
	Example:     "stage.pm7[lowest(stage.pm7[*].hof)]",
}, {
	Name: "refined", Params: []string{"results", "again"}, Fn: Refined, Version: 2,
	Description: "Results of MOPAC, the lowest of them replaced by a second result of it if that " +
		"is lower.",
	Example: "refined(stage.pm7[*], stage.minimum)",
}, {
	Name: "summarise", Params: []string{"hofs in kcal/mol", "tolerance in kcal/mol"},
	Fn: Summarise, Version: 1,
	Description: "What the heats of formation of conformers come to: most_stable_hof, spread, " +
		"rank and others.",
	Example: "summarise(stage.pm7[*].hof, 0.02)",
}}

var moleculeFunctions = []Function{{
	Name:   "same_molecule",
	Params: []string{"molecule", "before", "after", "bonds"}, Files: 1,
	Fn: SameMolecule, Version: 2,
	Description: "True if a geometry is still the molecule; else an error that names the bond or " +
		"the stereo.",
	Example: "same_molecule(stage.rdkit.molecule, each.value, mopac_geometry(output.aux), " +
		"local.bonds)",
}, {
	Name:   "any_same_molecule",
	Params: []string{"molecule", "before", "ensemble", "bonds"}, Files: 1,
	Fn: AnySameMolecule, Version: 2,
	Description: "True if one geometry of several at least is still the molecule; else an error " +
		"of the first.",
	Example: "any_same_molecule(stage.rdkit.molecule, local.start, ensemble(output.ensemble), " +
		"local.bonds)",
}, {
	Name: "possible_state", Params: []string{"smiles", "charge", "multiplicity"},
	Fn: PossibleState, Version: 1,
	Description: "True if a molecule can have the charge and the multiplicity; else an error " +
		"that says why not.",
	Example: "possible_state(mol.smiles, mol.charge, mol.multiplicity)",
}, {
	Name: "heavy_atoms", Params: []string{"smiles"}, Fn: HeavyAtoms, Version: 1,
	Description: "The number of heavy atoms; null if the SMILES can't be read without RDKit.",
	Example:     "heavy_atoms(mol.smiles)",
}, {
	Name: "rotatable_bonds", Params: []string{"smiles"}, Fn: RotatableBonds, Version: 1,
	Description: "The number of rotatable bonds; null if the SMILES can't be read without RDKit.",
	Example:     "rotatable_bonds(mol.smiles)",
}}

func firstFrame(path string) (Frame, error) {
	frames, err := ReadXYZ(path)
	if err != nil {
		return Frame{}, err
	}
	return frames[0], nil
}
