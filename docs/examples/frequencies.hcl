# Harmonic frequencies by GFN2-xTB at its own geometry: is it a minimum, and what is the zero-point energy?
# Append this file to pipeline.hcl. The next `mage batch` runs the new stage for every molecule, and nothing else.

stage "frequencies" {
  title = "GFN2 frequencies"

  file "start.xyz" { content = xyz_text(local.conformers[0]) } # the most stable by GFN2-xTB
  command = concat(["xtb", "start.xyz", "--hess", "--gfn", 2], local.state)
  timeout = "30m"
  outputs = { log = "stdout", spectrum = "vibspectrum" }
  values = {
    zero_point_energy     = xtb(output.log).zero_point_energy # hartree
    imaginary_frequencies = xtb(output.log).imaginary_frequencies
  }
}

merge {
  zpe_gfn2              = round(627.509474 * stage.frequencies.zero_point_energy, 3) # kcal/mol; CODATA 2018
  imaginary_frequencies = stage.frequencies.imaginary_frequencies
}
