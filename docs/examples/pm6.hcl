# PM6 on PM7's geometries, for comparison: one energy each, no optimisation.
# Append this file to pipeline.hcl. The next `mage batch` runs the new stage for every molecule, and nothing else.

stage "pm6" {
  title    = "PM6 single point"
  for_each = local.results[*].aux # null for a conformer that PM7 left out, which is left out here too
  timeout  = "5m"

  file "pm6.mop" {
    content = <<-EOT
      PM6 1SCF PRECISE THREADS=1 AUX ${mopac_state(mol.charge, mol.multiplicity)}
      ${mol.mol_id}, conformer ${each.key + 1} at PM7's geometry

      ${mopac_cartesian(mopac_geometry(each.value))}
    EOT
  }
  command = ["mopac", "pm6.mop"]
  outputs = { out = "pm6.out", aux = "pm6.aux" }
  values  = { hof = mopac(output.out, output.aux, 0.5).hof } # kcal/mol at 298.15 K
}

merge {
  hof_pm6 = round(stage.pm6[lowest(stage.pm6[*].hof)].hof, 5)
}
