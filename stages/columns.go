package stages

// units are those of the table's columns and of an exported conformer, see docs/columns.md.
var units = map[string]string{
	"H298_cbs": "kcal/mol", "most_stable_hof": "kcal/mol",
	"delta_1": "kcal/mol", "delta_2": "kcal/mol", "delta_3": "kcal/mol",
	"crest_time": "s", "mopac_time": "s", "charge": "e",

	"hof_kcal_mol": "kcal/mol", "delta_kcal_mol": "kcal/mol", "e_gfn2_hartree": "hartree",
	"homo_ev": "eV", "lumo_ev": "eV", "dipole_debye": "debye",
	"gradient_kcal_mol_angstrom": "kcal/mol/Å", "geometry_xyz": "Å",
}

// valueUnits are the units of what the functions of this package read and sum up.
var valueUnits = map[string]string{
	"hof": "kcal/mol", "most_stable_hof": "kcal/mol", "spread": "kcal/mol", "energies": "kcal/mol",
	"gradient_norm": "kcal/mol/Å", "dipole": "debye",
	"homo": "eV", "lumo": "eV", "ionization_potential": "eV", "homo_lumo_gap": "eV",
}

// Unit is the unit of a column of the table or of an exported conformer, "" if none is known.
func Unit(column string) string { return units[column] }

// ValueUnit is the unit of a value of a target, "" as with Unit.
func ValueUnit(name string) string { return valueUnits[name] }
