# Every word of the language, once.
pipeline {
  table        = "molecules.csv"
  artefacts    = "results"
  max_reruns   = 2
  jobs         = 4
  max_failures = "20%"
  max_invalid  = "5%"
  order        = "smallest_first" # or "table", the default
  env          = { OMP_NUM_THREADS = 1, LANG = "C" }
}

variable "search" {
  description = "How conformers are searched."
  type        = string
  default     = "etkdg"
  validation {
    condition     = contains(["etkdg", "crest"], var.search)
    error_message = "search is \"etkdg\" or \"crest\"."
  }
}

variable "preopt" { default = true }
variable "windows" { default = [6, 12] }

variable "thresholds" {
  type = object({ energy = number, names = optional(list(string)) })
  default = { energy = 0.05 }
}

locals {
  keywords = "PM7 ${upper("precise")}"
  uhf      = mol.multiplicity - 1
  label    = "${local.keywords} ${local.uhf}"
}

locals {
  limits = jsondecode(file("limits.json"))
}

program "python3" {
  path    = ["python3", "/usr/bin/python3"]
  version = ["python3", "--version"]
  debian  = "python3"
  conda   = "python"
}

program "xtb" {
  path = "xtb"
}

molecule {
  size = [coalesce(mol.nheavy, 1), mol.H298_cbs]
  precondition {
    condition     = spin_fits(mol.smiles, mol.charge, mol.multiplicity)
    error_message = "charge ${mol.charge} contradicts multiplicity ${mol.multiplicity}"
  }
}

merge {
  energy = try(stage.pm7[0].hof - local.limits.shift, null)
  spread = max(stage.pm7[*].hof...) - min(stage.pm7[*].hof...)
  all    = join(";", [for p in stage.pm7 : format("%.2f", p.hof) if p.hof != null])
  time   = round(seconds(stage.pm7), 1)
  state  = status(stage.search, "SUCCESS")
  relax  = status(stage.preopt)
}

merge {
  name = mol["mol_id"]
}

# Stages may stand in any order.
stage "pm7" {
  title     = "MOPAC"
  for_each  = first(length(var.windows), ensemble(stage.search.ensemble))
  timeout   = "${10 * pow(2, attempt)}m"
  max_bytes = 1000000
  max_files = 100
  env       = { MOPAC_LICENSE = stage.search.ensemble, UNSET = null }

  file "pm7.mop" {
    content = <<-EOT
      ${local.keywords} ${mopac_state(mol.charge, mol.multiplicity)}%{ if attempt > 0 } LET%{ endif } $${literal} %%{literal}
      ${mol.mol_id}, conformer ${each.key + 1} of %{ for i, w in var.windows ~}
      ${i}:${w}
      %{~ endfor }

      ${mopac_cartesian(each.value)}
    EOT
  }
  file "notes.txt" { content = templatefile("notes.tmpl", { who = mol.mol_id, limits = local.limits }) }
  file "limits.json" { source = "limits.json" }

  precondition {
    condition     = each.value.energy != null
    error_message = "conformer ${each.key} has no energy"
  }
  command = ["mopac", "pm7.mop"]
  outputs = { out = "pm7.out", aux = "pm7.aux" }
  values = {
    hof    = mopac(output.out, output.aux).hof
    nested = { list = [1, "a", null], flag = mol.charge == 0 ? true : false }
  }
  postcondition {
    condition     = same_bonds(stage.rdkit.molecule, mopac_geometry(output.aux))
    error_message = "the molecule changed its bonds: ${bond_changes(stage.rdkit.molecule, mopac_geometry(output.aux))}"
  }
}

stage "search" {
  command = {
    etkdg = ["conformers", stage.rdkit.pool, "--window", var.windows[0]]
    crest = ["crest", coalesce(stage.preopt.geometry, stage.rdkit.geometry), "--chrg", mol.charge]
  }[var.search]
  programs = var.search == "etkdg" ? ["xtb"] : []
  outputs  = { ensemble = var.search == "etkdg" ? "conformers.xyz" : "crest_conformers.xyz" }
}

stage "preopt" {
  enabled = var.preopt && mol.charge <= local.limits.charge
  command = ["xtb", stage.rdkit.geometry, "--uhf", local.uhf]
  outputs = { geometry = "xtbopt.xyz", log = "stdout" }
  values  = xtb(output.log)
}

stage "rdkit" {
  command = ["python3", "embed.py", "--smiles=${mol.smiles}"]
  worker  = ["python3", "embed.py", "--serve"]
  validate = ["python3", "embed.py", "--check", mol.smiles]
  cores   = 2
  outputs = { molecule = "molecule.mol", geometry = "geometry.xyz", pool = "pool/pool.xyz" }
}

stage "summary" {
  values = merge({ spread = max(stage.pm7[*].hof...) }, { lowest = min(stage.pm7[*].hof...) })
}
