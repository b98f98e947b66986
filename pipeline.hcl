# What is computed for every molecule of the table. `mage batch -dryRun` shows what an edit would run again, and why.
# The commands are argument lists; no shell stands in between.
#
# rdkit: starting conformers of each stereoisomer. search: GFN2-xTB, the most stable first.
# isomers: which isomer counts. pm7: PM7 on its best conformers. minimum: the lowest once more.
# docs/conformers.md says more about each.

pipeline {
  table      = "data/thermo_pm7.csv"
  max_reruns = 3
}

variable "search" {
  description = "etkdg: RDKit and xTB, seconds a molecule. crest: then CREST, minutes a molecule; the conformers of both count."
  default     = "etkdg"
  validation {
    condition     = contains(["etkdg", "crest"], var.search)
    error_message = "search is \"etkdg\" or \"crest\", not \"${var.search}\"."
  }
}

variable "open_stereo" {
  description = "What becomes of stereo that the SMILES leaves open. lowest: up to 16 isomers are searched, the lowest by GFN2-xTB counts. first: the one that RDKit builds lowest. refuse: the molecule fails."
  default     = "lowest"
  validation {
    condition     = contains(["lowest", "first", "refuse"], var.open_stereo)
    error_message = "open_stereo is \"lowest\", \"first\" or \"refuse\", not \"${var.open_stereo}\"."
  }
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
  description = "A solvent of xTB's ALPB model for the search, as water; empty for the gas phase. PM7 is in the gas phase always."
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
    condition     = state_problem(mol.smiles, mol.charge, mol.multiplicity) == ""
    error_message = state_problem(mol.smiles, mol.charge, mol.multiplicity)
  }
}

stage "rdkit" {
  title = "RDKit parameters"
  file "embed.py" { source = "stages/embed.py" }
  worker   = ["python3", "embed.py", "--serve"] # RDKit is started once for a batch, not once for a molecule
  validate = ["python3", "embed.py", "--check", "--smiles=${mol.smiles}", "--charge=${mol.charge}", "--multiplicity=${mol.multiplicity}"]
  command = ["python3", "embed.py", "--smiles=${mol.smiles}", "--charge=${mol.charge}", "--multiplicity=${mol.multiplicity}", "--seed=${61453 + attempt}",
  "--open-stereo=${var.open_stereo}", "--displace=0.05"] # Å, by which the starting conformers are moved: none stays symmetric
  timeout = "15m"
  outputs = {
    properties = "properties.json"
    molecule   = "molecule.json" # bonds, rotors and stereo of the molecule; the atoms keep this order from here on
    molfile    = "molecule.mol"
    geometry   = "geometry.xyz"
    pool       = "pool.xyz"
  }
  no_retry = [3] # embed.py: the row itself is wrong; another attempt can only fail the same way
  values = {
    nheavy        = jsondecode(file(output.properties)).nheavy
    nrotbonds     = jsondecode(file(output.properties)).nrotbonds
    tpsa          = jsondecode(file(output.properties)).tpsa
    aromaticrings = jsondecode(file(output.properties)).naromaticrings
    pool_size     = jsondecode(file(output.properties)).pool
    soft          = jsondecode(file(output.properties)).nsoft # rotors and ring torsions that a symmetric geometry may leave on a saddle point
  }
  warnings = jsondecode(file(output.properties)).warnings
}

stage "search" {
  title = "Conformer search"
  command = concat(["conformers", stage.rdkit.pool, "--molecule", stage.rdkit.molecule, "--window", var.window, "--charge", mol.charge, "--uhf", mol.multiplicity - 1],
  var.solvent == "" ? [] : ["--alpb", var.solvent])
  programs = ["xtb"]
  timeout  = "1h"
  outputs  = { ensemble = "conformers.xyz", log = "stdout" }
  values = { # energy in hartree; rigid: no rotor, and no ring that flips
    count   = length(ensemble(output.ensemble))
    energy  = ensemble(output.ensemble)[0].energy
    rigid   = stage.rdkit.pool_size == 1 && jsondecode(file(stage.rdkit.properties)).nrotors == 0
    method  = "etkdg"
    program = "xtb ${regex("xtb version (\\S+)", file(output.log))[0]}"
  }
}

# What a target's next attempts do otherwise. EF, MOPAC's optimiser for up to 33 atoms and here for all, stops short now and then, mostly on linear
# molecules and flat surfaces; LBFGS gets on from there. The third attempt starts from longer bonds, with the Hessian computed at each step.
locals {
  optimiser = ["EF", "LBFGS", "EF RECALC=1 ITRY=1000"]
}

# Of the stereoisomers that the SMILES leaves open the lowest by PM7 counts, if GFN2-xTB has several within 3 kcal/mol.
stage "isomers" {
  for_each = length(isomers(ensemble(stage.search.ensemble))) > 1 ? isomers(ensemble(stage.search.ensemble)) : []
  at_least = 1
  timeout  = "${10 * pow(2, attempt)}m"

  file "isomer.mop" {
    content = <<-EOT
      PM7 PRECISE THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)} ${local.optimiser[min(attempt, 2)]}
      ${mol.mol_id}, the lowest conformer of ${each.value.isomer}

      ${mopac_cartesian(perturbed(stage.rdkit.molecule, each.value, 0.15, 20, 9000 + each.key + 100 * attempt))}
    EOT
  }
  command  = ["mopac", "isomer.mop"]
  outputs  = { out = "isomer.out", aux = "isomer.aux" }
  compress = ["isomer.aux"]
  keep     = ["isomer.mop"]
  values   = mopac(output.out, output.aux)

  postcondition {
    condition     = molecule_changes(stage.rdkit.molecule, each.value, mopac_geometry(output.aux)) == ""
    error_message = "the molecule became another in the PM7 optimisation: ${molecule_changes(stage.rdkit.molecule, each.value, mopac_geometry(output.aux))}"
  }
}

# stereo_smiles: the isomer whose conformers go on. Where there is only one, no PM7 runs for that.
stage "isomer" {
  values = { smiles = isomers(ensemble(stage.search.ensemble))[length(stage.isomers) > 1 ? summarise(stage.isomers[*].hof, 0.02).rank - 1 : 0].isomer }
}

# CREST starts from the lowest conformer of the first search. From another rotamer of an acid or an amide it need not come back, and the heat of formation is
# up to 6 kcal/mol too high.
stage "crest" {
  title   = "Conformer search by CREST"
  enabled = var.search == "crest" && !stage.search.rigid

  file "start.xyz" { content = xyz_text(of_isomer(ensemble(stage.search.ensemble), stage.isomer.smiles)[0]) }
  command = concat(["crest", contains(salvaged, "crest_conformers.xyz") ? "salvage/crest_conformers.xyz" : "start.xyz", "--gfn2", "--quick", "--ewin", var.window,
    "-T", ignore_changes(var.threads), "--chrg", mol.charge, "--uhf", mol.multiplicity - 1],
  var.solvent == "" ? [] : ["--alpb", var.solvent])
  programs = ["xtb"] # which CREST 2.12 starts
  cores    = var.threads
  salvage  = ["crest_conformers.xyz"] # what a CREST that ran out of time or was interrupted had found: the next attempt starts from the best of it
  timeout  = "${8 * pow(2, attempt)}h"
  exit_codes = {
    SEGV = "CREST crashed, and -set=search=etkdg does without it"
  }
  outputs = { ensemble = "crest_conformers.xyz", log = "stdout" }
  values = {
    count   = length(ensemble(output.ensemble))
    energy  = ensemble(output.ensemble)[0].energy # hartree; null where CREST 2.12 states none
    method  = "crest"
    program = try("CREST ${regex("Version ([0-9.]*[0-9])", file(output.log))[0]}", "CREST")
  }

  postcondition { # of some conformers that are another molecule, "conformers" makes no use
    condition     = length([for c in ensemble(output.ensemble) : c if molecule_changes(stage.rdkit.molecule, of_isomer(ensemble(stage.search.ensemble), stage.isomer.smiles)[0], c) == ""]) > 0
    error_message = "every conformer of CREST is another molecule: in the first ${molecule_changes(stage.rdkit.molecule, of_isomer(ensemble(stage.search.ensemble), stage.isomer.smiles)[0], ensemble(output.ensemble)[0])}"
  }
}

# The conformers of both searches, each once, the most stable first.
stage "conformers" {
  enabled = var.search == "crest" && !stage.search.rigid
  command = concat(["merge_conformers", stage.search.ensemble, stage.crest.ensemble, "--molecule", stage.rdkit.molecule, "--window", var.window, "--charge", mol.charge, "--uhf", mol.multiplicity - 1,
    "--isomer", stage.isomer.smiles],
  var.solvent == "" ? [] : ["--alpb", var.solvent])
  programs = ["xtb"]
  timeout  = "1h"
  outputs  = { ensemble = "conformers.xyz" }
  values = {
    count  = length(ensemble(output.ensemble))
    energy = ensemble(output.ensemble)[0].energy # hartree
  }
}

# PM7 starts from perturbed geometries: rotors turned by 20 degrees (more than four by less), atoms moved by up to 0.15 Å,
# bonds as long as before. From a symmetric geometry it may end at a saddle point.
stage "pm7" {
  title    = "MOPAC PM7 calculation"
  for_each = first(var.conformers, of_isomer(ensemble(coalesce(stage.conformers.ensemble, stage.search.ensemble)), stage.isomer.smiles))
  at_least = 1 # the result of the others counts, and the row says which conformer is missing
  timeout  = "${10 * pow(2, attempt)}m"

  file "pm7.mop" {
    content = <<-EOT
      PM7 PRECISE THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)} ${local.optimiser[min(attempt, 2)]}
      ${mol.mol_id}, conformer ${each.key + 1}

      ${mopac_cartesian(scaled(perturbed(stage.rdkit.molecule, each.value, 0.15, 20, 9000 + each.key + 100 * attempt), attempt < 2 ? 1 : 1.02))}
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

stage "lowest" {
  values = summarise(stage.pm7[*].hof, 0.02) # rank: which conformer is the lowest by PM7
}

# Is the lowest a minimum? Its geometry is perturbed and optimised once more, to a fifth of the gradient that PRECISE
# asks for, since some surfaces are flat (isopropyl, ethyl acetate). The lower result counts.
# Molecules without a soft torsion skip this.
stage "minimum" {
  enabled = stage.rdkit.soft > 0
  timeout = "${10 * pow(2, attempt)}m"

  file "minimum.mop" {
    content = <<-EOT
      PM7 PRECISE GNORM=0.01 THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)} ${local.optimiser[min(attempt, 2)]}
      ${mol.mol_id}, conformer ${stage.lowest.rank} once more, from a perturbed geometry

      ${mopac_cartesian(perturbed(stage.rdkit.molecule, mopac_geometry(stage.pm7[stage.lowest.rank - 1].aux), 0.15, 20, 50 + 100 * attempt))}
    EOT
  }
  command  = ["mopac", "minimum.mop"]
  outputs  = { out = "minimum.out", aux = "minimum.aux", arc = "minimum.arc" }
  compress = ["minimum.aux"]
  keep     = ["minimum.mop"]
  values   = mopac(output.out, output.aux)

  postcondition {
    condition     = molecule_changes(stage.rdkit.molecule, mopac_geometry(stage.pm7[stage.lowest.rank - 1].aux), mopac_geometry(output.aux)) == ""
    error_message = "it is no minimum of PM7, which makes another molecule of it: ${molecule_changes(stage.rdkit.molecule, mopac_geometry(stage.pm7[stage.lowest.rank - 1].aux), mopac_geometry(output.aux))}"
  }
}

# MOPAC before 23.2 adds 12 kcal/mol for each C≡C of the geometry that it starts from, also where the bond is another one at the end.
# One more energy, at the final geometry, has it right. Molecules without such short bonds skip this.
stage "pm7_check" {
  enabled  = max([for g in concat(ensemble(coalesce(stage.conformers.ensemble, stage.search.ensemble)), [for aux in stage.pm7[*].aux : mopac_geometry(aux) if aux != null]) : triple_bonds(g)]...) > 0
  for_each = concat([for run in stage.pm7 : run.hof == null ? null : { hof = run.hof, aux = run.aux }], stage.minimum.hof == null ? [] : [{ hof = stage.minimum.hof, aux = stage.minimum.aux }])
  timeout  = "10m"

  file "check.mop" {
    content = <<-EOT
      PM7 1SCF PRECISE THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)}
      ${mol.mol_id}, result ${each.key + 1} at PM7's geometry

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

# hof (a list, in GFN2-xTB's order), most_stable_hof, spread, rank, conformers_unique.
# Of the lowest conformer the lower of its two results counts.
stage "final" {
  title = "Final calculations"
  values = summarise([for i, h in [for k, run in stage.pm7 : try(stage.pm7_check[k].hof, run.hof)] :
  i + 1 == stage.lowest.rank ? min(h, coalesce(try(stage.pm7_check[length(stage.pm7)].hof, stage.minimum.hof), h)) : h], 0.02)
}

# The columns of the table. A cell is blank where there is no such conformer or no reference.
merge {
  nheavy                     = stage.rdkit.nheavy
  stereo_smiles              = stage.isomer.smiles
  crest_status               = contains([status(stage.crest), status(stage.conformers)], "FAILED") ? "FAILED" : status(stage.search, "SUCCESS")
  crest_conformers_generated = coalesce(stage.crest.count, length(of_isomer(ensemble(stage.search.ensemble), stage.isomer.smiles)))
  crest_time                 = round(seconds(stage.search) + coalesce(seconds(stage.crest), 0) + coalesce(seconds(stage.conformers), 0), 2)
  mopac_status               = contains([status(stage.isomers), status(stage.minimum)], "FAILED") ? "FAILED" : status(stage.pm7)
  mopac_time                 = round(seconds(stage.pm7) + coalesce(seconds(stage.isomers), 0) + coalesce(seconds(stage.minimum), 0), 2)
  delta_1                    = try(round(abs(mol.H298_cbs - stage.final.hof[0]), 5), null)
  delta_2                    = try(round(abs(mol.H298_cbs - stage.final.hof[1]), 5), null)
  delta_3                    = try(round(abs(mol.H298_cbs - stage.final.hof[2]), 5), null)
  most_stable_hof            = round(stage.final.most_stable_hof, 5)
}
