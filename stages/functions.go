// Package stages knows what the files of the programs mean: it reads the geometries, the results and the failures of xTB
// and MOPAC, compares bonds with a molfile's, and counts the electrons of a SMILES. It runs no MOPAC and no xTB for that, knows nothing of
// scheduling, tables or HCL, and does not replace RDKit: what it can't read of a SMILES it leaves to it.
package stages

// Function is one function that pipeline.hcl may call. Fn is a plain Go function whose types an expression can hold: strings,
// numbers, booleans, lists, structs by the json names of their fields, pointers for what may be null, and an error last.
type Function struct {
	Name, Description, Example string

	Fn      any
	Version int // bumped when the same bytes give another result: values are then read again
}

// Functions are the functions of this package that pipeline.hcl may call.
func Functions() []Function {
	return []Function{
		{"xyz", "The first geometry of an xyz file: comment, energy (hartree, null if the comment states none), symbols, coordinates (Å).",
			`xyz(output.geometry).energy`, firstFrame, 1},
		{"xyz_text", "The text of an xyz file of one geometry: to start a program from it.",
			`xyz_text(ensemble(stage.search.ensemble)[0])`, Frame.XYZ, 1},
		{"conformers", "All geometries of an xyz file, in the file's order, each as xyz gives it.",
			`conformers(output.ensemble)`, ReadXYZ, 1},
		{"ensemble", "All geometries of an xyz file of conformers, the lowest energy first; CREST's own files are not strictly sorted.",
			`first(3, ensemble(stage.search.ensemble))`, Ensemble, 2},
		{"isomers", "The first conformer of each stereoisomer of an ensemble, in its order. A conformer's isomer is its SMILES.",
			`isomers(ensemble(stage.search.ensemble))`, Isomers, 1},
		{"of_isomer", "The conformers of an ensemble that are of one stereoisomer, in its order.",
			`of_isomer(ensemble(stage.search.ensemble), stage.isomer.smiles)`, OfIsomer, 1},
		{"mopac", "The result of a MOPAC run (optimisation, 1SCF or FORCE): hof (kcal/mol at 298.15 K), gradient_norm (kcal/mol/Å), ionization_potential, homo, lumo (eV), " +
			"dipole (debye), point_group, method, version, valence_electrons, spin_squared, soft_stop. An error that says why when the run is no result.",
			`mopac(output.out, output.aux)`, ReadMOPAC, 2},
		{"mopac_geometry", "The final geometry of a MOPAC run, as xyz gives it. Four decimals unless the deck says AUX(PRECISION=9).",
			`mopac_geometry(output.aux)`, MOPACGeometry, 1},
		{"mopac_state", `MOPAC's keywords for a charge and a multiplicity from 1 to 9, as "CHARGE=-1 DOUBLET UHF".`,
			`mopac_state(mol.charge, mol.multiplicity)`, MOPACState, 1},
		{"mopac_cartesian", "The geometry lines of a MOPAC deck, every coordinate free.",
			`mopac_cartesian(each.value)`, MOPACCartesian, 1},
		{"xtb", "The result of an xTB run, from its standard output: energy (hartree), gradient_norm (hartree/bohr), homo_lumo_gap (eV), converged (of an optimisation), version, " +
			"zero_point_energy (hartree), imaginary_frequencies. An error that says why when the run is no result.",
			`xtb(output.log).homo_lumo_gap`, ReadXTB, 2},
		{"molecule_changes", `How a geometry has become another molecule than the one described, given the geometry before: "" or words as ` +
			`"C1–O3 is broken (2.31 Å); H7 moved from O2 to N5", or "C2 is turned inside out" where the SMILES states stereo.`,
			`molecule_changes(stage.rdkit.molecule, each.value, mopac_geometry(output.aux))`, MoleculeChanges, 2},
		{"triple_bonds", "The number of pairs of carbon atoms nearer than 1.29 Å, as in C≡C and some cumulenes.",
			`triple_bonds(xyz(output.geometry))`, TripleBonds, 1},
		{"scaled", "A geometry with every bond longer by a factor, angles and torsions kept: another start for an optimisation.",
			`mopac_cartesian(scaled(each.value, 1.02))`, Scaled, 1},
		{"perturbed", "A geometry made asymmetric: its rotors turned to one side or the other by an angle (degrees; by 4/n of it where n rotors are more than four), its atoms moved by at most a distance (Å), " +
			"its bonds of the same length; another seed gives another. An optimisation from a symmetric geometry may end at a saddle point.",
			`perturbed(stage.rdkit.molecule, each.value, 0.1, 20, attempt)`, Perturbed, 1},
		{"summarise", "Of the heats of formation of a molecule's conformers and a tolerance (kcal/mol): hof (the list), most_stable_hof, spread, rank (place of the lowest, from 1), " +
			"conformers_unique (how many differ by more than the tolerance).",
			`summarise(stage.pm7[*].hof, 0.02)`, Summarise, 1},
		{"electrons", "The number of electrons, cores included, of a SMILES's atoms at a charge; null when the SMILES can't be read without RDKit.",
			`electrons(mol.smiles, mol.charge)`, Electrons, 1},
		{"spin_fits", "Whether a charge and a multiplicity are possible for a SMILES; true when the SMILES can't be read without RDKit.",
			`spin_fits(mol.smiles, mol.charge, mol.multiplicity)`, SpinFits, 1},
		{"state_problem", `Why a charge and a multiplicity are impossible for a SMILES, as "43 electrons can't form a singlet. The SMILES has charge +1; the row says 0"; "" where nothing is wrong, or the SMILES can't be read without RDKit.`,
			`state_problem(mol.smiles, mol.charge, mol.multiplicity)`, StateProblem, 1},
		{"smiles_charge", "The charge that a SMILES states; null when the SMILES can't be read without RDKit.",
			`smiles_charge(mol.smiles) == mol.charge`, SMILESCharge, 1},
		{"heavy_atoms", "The number of atoms of a SMILES but for hydrogen; null when the SMILES can't be read without RDKit.",
			`heavy_atoms(mol.smiles)`, HeavyAtoms, 1},
		{"rotatable_bonds", "The number of single bonds of a SMILES outside of rings between atoms with further neighbours (RDKit's NonStrict); null when the SMILES can't be read without RDKit.",
			`rotatable_bonds(mol.smiles)`, RotatableBonds, 1},
		{"formula", `The molecular formula of a SMILES in Hill's order, as "C2H6O"; null when the SMILES can't be read without RDKit.`,
			`formula(mol.smiles)`, Formula, 1},
	}
}

func firstFrame(path string) (Frame, error) {
	frames, err := ReadXYZ(path)
	if err != nil {
		return Frame{}, err
	}
	return frames[0], nil
}
