# What is computed for every molecule of the table. `mage batch -dryRun` shows what an edit would run again, and why.
# The commands are argument lists; no shell stands in between.

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

variable "preopt" {
  description = "Whether xTB optimises RDKit's geometry first. Only CREST starts from it."
  default     = true
}

variable "conformers" {
  description = "How many conformers go to PM7, the most stable by GFN2-xTB first."
  default     = 3
}

variable "window" {
  description = "Conformers up to so many kcal/mol above the most stable are looked for, by GFN2-xTB."
  default     = 6
}

variable "solvent" {
  description = "CREST only: a solvent of xTB's ALPB model, as water; empty for the gas phase. PM7 is in the gas phase always."
  default     = ""
}

variable "threads" {
  description = "CREST only: processor cores that one search takes, of the batch's jobs."
  default     = 1
}

program "python3" { # the first of these that has RDKit
  path    = ["python3", "/usr/bin/python3"]
  version = ["python3", "-c", "import rdkit; print('RDKit version', rdkit.__version__); print(rdkit.__file__)"]
  debian  = "python3-rdkit"
  conda   = "rdkit"
}

program "xtb" {
  version         = ["xtb", "--version"]
  version_pattern = "xtb version [0-9.]+" # not the builder and the day of the build
  debian          = "xtb"
  conda           = "xtb"
}

program "mopac" {
  version = ["mopac", "--version"]
  debian  = "mopac"
  conda   = "mopac"
}

program "crest" { # needed with search = "crest" only
  version         = ["crest", "--version"]
  version_pattern = "Version [0-9.]*[0-9]"
  conda           = "crest"
}

# Checked for every row before anything runs.
molecule {
  size = [heavy_atoms(mol.smiles), rotatable_bonds(mol.smiles)] # by which the expected times are learnt

  precondition {
    condition     = spin_fits(mol.smiles, mol.charge, mol.multiplicity)
    error_message = "charge ${mol.charge} leaves ${electrons(mol.smiles, mol.charge)} electrons, which can't have multiplicity ${mol.multiplicity}; correct one of the two"
  }
}

stage "rdkit" {
  title = "RDKit parameters"
  file "embed.py" { source = "stages/embed.py" }
  worker  = ["python3", "embed.py", "--serve"] # RDKit is started once for a batch, not once for a molecule
  command = ["python3", "embed.py", "--smiles=${mol.smiles}", "--charge=${mol.charge}", "--multiplicity=${mol.multiplicity}", "--seed=${61453 + attempt}"]
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
    pool_size     = jsondecode(file(output.properties)).pool
  }
}

stage "preopt" {
  title    = "Pre-optimization"
  enabled  = var.preopt
  command  = ["xtb", stage.rdkit.geometry, "--opt", "--gfn", 2, "--chrg", mol.charge, "--uhf", mol.multiplicity - 1]
  timeout  = "${10 * pow(2, attempt)}m"
  outputs  = { geometry = "xtbopt.xyz", log = "stdout" }
  compress = ["stdout"]
  keep     = [] # beside the outputs nothing
  values   = xtb(output.log)

  postcondition {
    condition     = molecule_changes(stage.rdkit.molecule, xyz(stage.rdkit.geometry), xyz(output.geometry)) == ""
    error_message = "the molecule became another in the pre-optimisation: ${molecule_changes(stage.rdkit.molecule, xyz(stage.rdkit.geometry), xyz(output.geometry))}"
  }
}

stage "search" {
  title = "Conformer search"
  command = {
    etkdg = ["conformers", stage.rdkit.pool, "--molecule", stage.rdkit.molecule, "--window", var.window, "--charge", mol.charge, "--uhf", mol.multiplicity - 1]
    crest = concat(["crest", contains(salvaged, "crest_conformers.xyz") ? "salvage/crest_conformers.xyz" : coalesce(stage.preopt.geometry, stage.rdkit.geometry), "--gfn2", "--quick", "--ewin", var.window, "-T", var.threads, "--chrg", mol.charge, "--uhf", mol.multiplicity - 1],
    var.solvent == "" ? [] : ["--alpb", var.solvent])
  }[var.search]
  programs = var.search == "etkdg" ? ["xtb"] : []
  cores    = var.search == "etkdg" ? 1 : var.threads
  exit_codes = { # of CREST 3
    "1"   = "CREST failed; the end of its output says why"
    "2"   = "CREST could not read or write a file"
    "4"   = "CREST does not take these arguments"
    "10"  = "CREST could not read its input geometry"
    "20"  = "CREST does not take this configuration"
    "155" = "CREST's xTB calculations failed; does the molecule have this charge and multiplicity?"
    "156" = "CREST stopped because the molecule changed its bonds; search = \"etkdg\" may keep them"
  }
  salvage = ["crest_conformers.xyz"] # what a CREST that ran out of time had found: the next attempt starts from the best of it
  timeout = var.search == "etkdg" ? "1h" : "${8 * pow(2, attempt)}h"
  outputs = { ensemble = var.search == "etkdg" ? "conformers.xyz" : "crest_conformers.xyz" }
  values = {
    count  = length(ensemble(output.ensemble))
    energy = ensemble(output.ensemble)[0].energy # hartree
  }

  postcondition { # of all conformers that go to PM7; "conformers" has looked at their stereo itself, CREST has not
    condition = join("", [for c in first(var.conformers, ensemble(output.ensemble)) :
    molecule_changes(stage.rdkit.molecule, var.search == "crest" ? xyz(coalesce(stage.preopt.geometry, stage.rdkit.geometry)) : c, c)]) == ""
    error_message = "a conformer is another molecule: ${join("; ", [for i, c in first(var.conformers, ensemble(output.ensemble)) :
    "in the ${i + 1}. ${molecule_changes(stage.rdkit.molecule, var.search == "crest" ? xyz(coalesce(stage.preopt.geometry, stage.rdkit.geometry)) : c, c)}"])}"
  }
}

# What a failed molecule's next attempts do otherwise. EF, the optimiser of the first, stops short now and then, mostly on linear molecules
# and flat surfaces; LBFGS gets on from there. The third starts from longer bonds, with the Hessian computed at each step and another SCF converger.
locals {
  more = ["", "LBFGS", "RECALC=1 PULAY ITRY=1000"]
}

stage "pm7" {
  title    = "MOPAC PM7 calculation"
  for_each = first(var.conformers, ensemble(stage.search.ensemble))
  timeout  = "${10 * pow(2, attempt)}m"

  file "pm7.mop" {
    content = <<-EOT
      PM7 PRECISE THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)} ${local.more[min(attempt, 2)]}
      ${mol.mol_id}, conformer ${each.key + 1}

      ${mopac_cartesian(attempt < 2 ? each.value : scaled(each.value, 1.02))}
    EOT
  }
  command  = ["mopac", "pm7.mop"]
  outputs  = { out = "pm7.out", aux = "pm7.aux", arc = "pm7.arc" }
  compress = ["pm7.aux"] # with xTB's output the most of what a molecule takes, and read by programs alone; zstdcat shows it
  keep     = ["pm7.mop"]
  values   = mopac(output.out, output.aux) # hof (kcal/mol at 298.15 K), gradient_norm, homo, lumo, ...; an error that says why

  postcondition {
    condition     = molecule_changes(stage.rdkit.molecule, each.value, mopac_geometry(output.aux)) == ""
    error_message = "the molecule became another in the PM7 optimisation: ${molecule_changes(stage.rdkit.molecule, each.value, mopac_geometry(output.aux))}"
  }
}

# MOPAC before 23.2 adds 12 kcal/mol for each C≡C of the geometry that it starts from, also where the bond is another one at the end.
# One more energy, at the final geometry, has it right. Molecules without such short bonds skip this.
stage "pm7_check" {
  enabled  = max([for g in concat(ensemble(stage.search.ensemble), [for aux in stage.pm7[*].aux : mopac_geometry(aux)]) : triple_bonds(g)]...) > 0
  for_each = stage.pm7[*]
  timeout  = "10m"

  file "check.mop" {
    content = <<-EOT
      PM7 1SCF PRECISE THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)}
      ${mol.mol_id}, conformer ${each.key + 1} at PM7's geometry

      ${mopac_cartesian(mopac_geometry(each.value.aux))}
    EOT
  }
  command  = ["mopac", "check.mop"]
  outputs  = { out = "check.out", aux = "check.aux" }
  compress = ["check.aux"]
  keep     = ["check.mop"]
  values   = mopac(output.out, output.aux)

  postcondition { # the same, or off by 12 kcal/mol for so many bonds
    condition     = abs(mopac(output.out, output.aux).hof - each.value.hof - 12 * round((mopac(output.out, output.aux).hof - each.value.hof) / 12, 0)) < 0.1
    error_message = "at the final geometry PM7 gives ${mopac(output.out, output.aux).hof} kcal/mol, the optimisation ${each.value.hof}: not the same state"
  }
}

stage "final" {
  title  = "Final calculations"
  values = summarise([for i, run in stage.pm7 : try(stage.pm7_check[i].hof, run.hof)], 0.02) # hof (a list), most_stable_hof, spread, rank, conformers_unique
}

# The columns of the table. A cell is blank where there is no such conformer or no reference.
merge {
  nheavy                     = stage.rdkit.nheavy
  crest_status               = status(stage.search, "SUCCESS")
  crest_conformers_generated = stage.search.count
  crest_time                 = round(seconds(stage.search), 2)
  mopac_status               = status(stage.pm7)
  mopac_time                 = round(seconds(stage.pm7), 2)
  delta_1                    = try(round(abs(mol.H298_cbs - stage.final.hof[0]), 5), null)
  delta_2                    = try(round(abs(mol.H298_cbs - stage.final.hof[1]), 5), null)
  delta_3                    = try(round(abs(mol.H298_cbs - stage.final.hof[2]), 5), null)
  most_stable_hof            = round(stage.final.most_stable_hof, 5)
}
