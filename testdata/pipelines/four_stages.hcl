# RDKit, a conformer search, PM7 and the lowest value: what most scripts need of a pipeline with the real programs.

pipeline {
  table      = "data/thermo_pm7.csv"
  artefacts  = "artefacts"
  max_reruns = 3
}

variable "conformers" { default = 3 }

variable "window" { default = 6 }

program "python3" {
  path    = ["python3", "/usr/bin/python3"]
  version = ["python3", "-c", "import rdkit; print('RDKit version', rdkit.__version__)"]
}

program "xtb" {
  version = ["xtb", "--version"]
}

program "mopac" {
  version = ["mopac", "--version"]
  debian  = "mopac"
  conda   = "mopac"
}

stage "rdkit" {
  title = "RDKit parameters"
  file "embed.py" { source = "stages/embed.py" }
  worker = ["python3", "embed.py", "--serve"]
  command = ["python3", "embed.py", "--smiles=${mol.smiles}", "--charge=${mol.charge}", "--multiplicity=${mol.multiplicity}", "--seed=61453", "--open-stereo=lowest",
    "--isomers=16", "--embeddings=300", "--all-embeddings=1200", "--window=18kcal/mol", "--same=0.06Å", "--few=20 0.20Å 100kcal/mol",
  "--displace=0.05Å", "--time=300s"]
  timeout  = "15m"
  no_retry = [3]
  outputs = {
    properties = "properties.json"
    molecule   = "molecule.json"
    pool       = "pool.xyz"
  }
  values = {
    nheavy = jsondecode(file(output.properties)).nheavy
    tpsa   = jsondecode(file(output.properties)).tpsa
  }
}

stage "search" {
  title = "Conformer search"
  command = ["conformers", stage.rdkit.pool, "--molecule", stage.rdkit.molecule, "--window", "${var.window}kcal/mol", "--chrg", mol.charge,
    "--uhf", mol.multiplicity - 1, "--bonds", "bond 1.30, across 1.15, across-C 1.10, shared-H 1.50", "--first", 3,
    "--same", "0.125Å 0.05kcal/mol 1%", "--levels",
  "gfn2:loose, same 0.20Å 0.5kcal/mol 3%, window +1kcal/mol; gfn2:normal <3kcal/mol; gfn2:tight <3kcal/mol, twins 0.6Å 0.2kcal/mol 5%"]
  programs = ["xtb"]
  timeout  = "1h"
  outputs  = { ensemble = "conformers.xyz" }
  values   = { count = length(ensemble(output.ensemble)) }
}

stage "pm7" {
  title    = "MOPAC PM7 calculation"
  for_each = first(var.conformers, ensemble(stage.search.ensemble))
  timeout  = "${10 * pow(2, attempt)}m"
  file "pm7.mop" {
    content = <<-EOT
      PM7 PRECISE THREADS=1 AUX(PRECISION=9,XP,XS,XW) ${mopac_state(mol.charge, mol.multiplicity)}${["", " LBFGS", " EF RECALC=1"][min(attempt, 2)]}
      ${mol.mol_id}, conformer ${each.key + 1}

      ${mopac_cartesian(each.value)}
    EOT
  }
  command = ["mopac", "pm7.mop"]
  outputs = { out = "pm7.out", aux = "pm7.aux", arc = "pm7.arc" }
  keep    = ["pm7.mop"]
  values  = mopac(output.out, output.aux, 0.5)
}

stage "final" {
  title  = "Final calculations"
  values = { most_stable_hof = min(stage.pm7[*].hof...) }
}

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
