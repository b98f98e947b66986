# How much the conformers differ: how many PM7 keeps apart, how far they lie from each other, and whether PM7's best is GFN2-xTB's first.
# Append this file to pipeline.hcl; the next `mage batch` merges the rows again, and runs no program.

merge {
  conformers_unique = stage.final.conformers_unique # that differ by more than 0.02 kcal/mol
  hof_spread        = round(stage.final.spread, 5)  # kcal/mol
  conformer_rank    = stage.final.rank              # of the most stable by PM7, in GFN2-xTB's order
}
