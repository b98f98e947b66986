# The five stages of a usual pipeline.

pipeline {
  table      = "data/thermo_pm7.csv"
  artefacts  = "artefacts"
  max_reruns = 3
}

variable "search" {
  description = "etkdg: RDKit and xTB, seconds a molecule. crest: CREST, minutes a molecule."
  default     = "etkdg"
  validation {
    condition     = contains(["etkdg", "crest"], var.search)
    error_message = "search is \"etkdg\" or \"crest\", not \"${var.search}\"."
  }
}

variable "conformers" {
  description = "How many conformers go to PM7, the most stable by GFN2-xTB first."
  default     = 3
}

program "python3" { # the first of these that has RDKit
  path    = ["python3", "/usr/bin/python3"]
  version = ["python3", "-c", "import rdkit; print('RDKit version', rdkit.__version__); print(rdkit.__file__)"]
  debian  = "python3-rdkit"
  conda   = "rdkit"
}

program "xtb" {
  version = ["xtb", "--version"]
  debian  = "xtb"
  conda   = "xtb"
}

program "mopac" {
  version = ["mopac", "--version"]
  debian  = "mopac"
  conda   = "mopac"
}

program "crest" { # needed with search = "crest" only
  version = ["crest", "--version"]
  conda   = "crest"
}

# Checked for every row before anything runs.
molecule {
  precondition {
    condition     = spin_fits(mol.smiles, mol.charge, mol.multiplicity)
    error_message = "${electrons(mol.smiles, mol.charge)} electrons (SMILES with charge ${mol.charge}) cannot have multiplicity ${mol.multiplicity}"
  }
}

stage "rdkit" {
  title = "RDKit parameters"
  file "embed.py" { source = "stages/embed.py" }
  worker  = ["python3", "embed.py", "--serve"] # RDKit is started once for a batch, not once for a molecule
  command = ["python3", "embed.py", "--smiles=${mol.smiles}", "--charge=${mol.charge}", "--multiplicity=${mol.multiplicity}"]
  timeout = "15m"
  outputs = {
    properties = "properties.json"
    molecule   = "molecule.mol" # its bonds are the molecule's; the atoms keep this order from here on
    geometry   = "geometry.xyz"
    pool       = "pool.xyz"
  }
  values = {
    nheavy        = jsondecode(file(output.properties)).nheavy
    nrotbonds     = jsondecode(file(output.properties)).nrotbonds
    tpsa          = jsondecode(file(output.properties)).tpsa
    aromaticrings = jsondecode(file(output.properties)).naromaticrings
    pool_size     = length(conformers(output.pool))
  }
}

stage "preopt" {
  title   = "Pre-optimization"
  command = ["xtb", stage.rdkit.geometry, "--opt", "--gfn", 2, "--chrg", mol.charge, "--uhf", mol.multiplicity - 1]
  timeout = "${10 * pow(2, attempt)}m"
  outputs = { geometry = "xtbopt.xyz", log = "stdout" }
  values  = xtb(output.log)

  postcondition {
    condition     = same_bonds(stage.rdkit.molecule, xyz(output.geometry))
    error_message = "the molecule changed its bonds during the pre-optimisation: ${bond_changes(stage.rdkit.molecule, xyz(output.geometry))}"
  }
}

stage "search" {
  title = "Conformer search"
  command = {
    etkdg = ["conformers", stage.rdkit.pool, "--molecule", stage.rdkit.molecule, "--window", 6, "--charge", mol.charge, "--uhf", mol.multiplicity - 1]
    crest = ["crest", stage.preopt.geometry, "--gfn2", "--quick", "--ewin", 6, "-T", 1, "--chrg", mol.charge, "--uhf", mol.multiplicity - 1]
  }[var.search]
  programs = var.search == "etkdg" ? ["xtb"] : []
  timeout  = var.search == "etkdg" ? "1h" : "${8 * pow(2, attempt)}h"
  outputs  = { ensemble = var.search == "etkdg" ? "conformers.xyz" : "crest_conformers.xyz" }
  values = {
    count  = length(ensemble(output.ensemble))
    energy = ensemble(output.ensemble)[0].energy # hartree
  }

  postcondition {
    condition     = same_bonds(stage.rdkit.molecule, ensemble(output.ensemble)[0])
    error_message = "the most stable conformer has other bonds: ${bond_changes(stage.rdkit.molecule, ensemble(output.ensemble)[0])}"
  }
}

stage "pm7" {
  title    = "MOPAC PM7 calculation"
  for_each = first(var.conformers, ensemble(stage.search.ensemble))
  timeout  = "${10 * pow(2, attempt)}m"

  file "pm7.mop" {
    content = <<-EOT
      PM7 PRECISE THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)} ${["", "LET DDMIN=0.0", "LBFGS"][min(attempt, 2)]}
      ${mol.mol_id}, conformer ${each.key + 1}

      ${mopac_cartesian(each.value)}
    EOT
  }
  command = ["mopac", "pm7.mop"]
  outputs = { out = "pm7.out", aux = "pm7.aux", arc = "pm7.arc" }
  values  = mopac(output.out, output.aux) # hof (kcal/mol at 298.15 K), gradient_norm, homo, lumo, ...; an error that says why

  postcondition {
    condition     = same_bonds(stage.rdkit.molecule, mopac_geometry(output.aux))
    error_message = "the molecule changed its bonds during the PM7 optimisation: ${bond_changes(stage.rdkit.molecule, mopac_geometry(output.aux))}"
  }
}

stage "final" {
  title = "Final calculations"
  values = {
    most_stable_hof = min(stage.pm7[*].hof...)
    spread          = max(stage.pm7[*].hof...) - min(stage.pm7[*].hof...)
  }
}

# The columns of the table. A cell is blank where there is no such conformer or no reference.
merge {
  nheavy                     = stage.rdkit.nheavy
  crest_status               = status(stage.search, "SUCCESS")
  crest_conformers_generated = stage.search.count
  crest_time                 = round(seconds(stage.search), 2)
  mopac_status               = status(stage.pm7)
  mopac_time                 = round(seconds(stage.pm7), 2)
  delta_1                    = try(round(abs(mol.H298_cbs - stage.pm7[0].hof), 5), null)
  delta_2                    = try(round(abs(mol.H298_cbs - stage.pm7[1].hof), 5), null)
  delta_3                    = try(round(abs(mol.H298_cbs - stage.pm7[2].hof), 5), null)
  most_stable_hof            = round(stage.final.most_stable_hof, 5)
}
