package tables

// comments describe the columns in a database.
var comments = map[string]string{
	"mol_id":                     "name of the molecule, and of its folder in artefacts",
	"status":                     "Pending, Selected, Running, OK, Rerun or Skip; NULL is Pending",
	"reruns":                     "how often the molecule failed",
	"smiles":                     "SMILES of the molecule",
	"multiplicity":               "spin multiplicity, 2S+1; NULL is 1",
	"charge":                     "charge in elementary charges; NULL is 0",
	"nheavy":                     "number of heavy atoms",
	"timestamp_added":            "when the row was added, ISO 8601",
	"H298_cbs":                   "reference: CBS-QB3 enthalpy of formation at 298.15 K, kcal/mol",
	"batch_id":                   "the batch that computed the row",
	"timestamp_started":          "when the molecule was taken up, ISO 8601",
	"timestamp_completed":        "when the molecule was finished, ISO 8601",
	"crest_status":               "how the conformer search ended",
	"crest_conformers_generated": "number of conformers found",
	"crest_time":                 "wall time of the conformer search in seconds",
	"mopac_status":               "how PM7 ended",
	"mopac_time":                 "wall time of PM7 in seconds",
	"delta_1":                    "|H298_cbs - PM7| of the first conformer by GFN2-xTB in kcal/mol",
	"delta_2":                    "|H298_cbs - PM7| of the second conformer by GFN2-xTB, kcal/mol",
	"delta_3":                    "|H298_cbs - PM7| of the third conformer by GFN2-xTB in kcal/mol",
	"most_stable_hof": "PM7 heat of formation of the conformer that is lowest by PM7 " +
		"in kcal/mol",
	"error_message": "why the molecule failed, or what the result is without",
	numberColumn:    "order of the rows",
	textColumn:      "the row in CSV where the other columns do not say all of it",
	claimedColumn:   "the batch that computes the row now, of grimperium_batches",
	originColumn:    "with what and where the row was computed",
}
