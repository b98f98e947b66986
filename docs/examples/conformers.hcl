# How much the conformers differ: how many PM7 keeps apart, how far they lie from each other, and whether PM7's best is
# GFN2-xTB's first. Two columns say which search found them. All conformers are of one isomer, that of stereo_smiles.
# Append this file to pipeline.hcl. The next `mage batch` merges the rows again, and runs no program.

merge {
  conformers_unique = stage.final.conformers_unique                  # that differ by more than 0.02 kcal/mol
  hof_spread        = round(stage.final.spread, 5)                   # kcal/mol
  conformer_rank    = stage.final.rank                               # of the most stable by PM7, in GFN2-xTB's order
  search_method     = status(stage.crest) == "OK" ? "crest" : "etkdg" # rigid molecules need no CREST
}
