# What is computed for each molecule of the table, in the order of the chemistry. docs/conformers.md says more.
pipeline { table = "data/thermo_pm7.csv" }
variable "search" { one_of = ["etkdg", "crest"] }                 # RDKit and xTB, seconds a molecule, or CREST too
variable "open_stereo" { one_of = ["lowest", "first", "refuse"] } # the isomer, if the SMILES leaves stereo open
variable "conformers" {                                           # so many go to PM7, the most stable by GFN2-xTB first
  default = 3
  require = var.conformers >= 1 && var.conformers == floor(var.conformers)
}
variable "window" { default = 6 }   # kcal/mol above the lowest by GFN2-xTB: so far up the search looks for conformers
variable "solvent" { default = "" } # for the search, in xTB's ALPB model, as water. PM7 is always in the gas phase.
variable "threads" { default = 1 }  # processor cores that one run of CREST takes from the jobs of the batch
program "python3" {                 # the first of these that has RDKit
  path    = ["python3", "/usr/bin/python3"]
  version = ["python3", "-c", "import rdkit; print('RDKit version', rdkit.__version__); print(rdkit.__file__)"]
  debian  = "python3-rdkit"
  conda   = "rdkit"
}
program "xtb" {
  version         = ["xtb", "--version"]
  version_pattern = "xtb version [0-9.]+" # not the builder and the day of the build
}
program "mopac" { version = ["mopac", "--version"] }
program "crest" { # needed with search = "crest" only
  version         = ["crest", "--version"]
  version_pattern = "Version [0-9.]*[0-9]"
  debian          = "" # Debian has no package of CREST
}
molecule { # checked for every row before anything runs
  require = possible_state(mol.smiles, mol.charge, mol.multiplicity)
  size    = [heavy_atoms(mol.smiles), rotatable_bonds(mol.smiles)] # for the expected times
}
locals { # what several stages share: the row as arguments of the programs, keywords, criteria
  row = ["--smiles=${mol.smiles}", "--charge=${mol.charge}", "--multiplicity=${mol.multiplicity}"]
  state = concat(["--chrg", mol.charge, "--uhf", mol.multiplicity - 1],
  var.solvent == "" ? [] : ["--alpb", var.solvent])
  pm7   = "PM7 PRECISE THREADS=1 ${mopac_state(mol.charge, mol.multiplicity)}"
  bonds = "bond 1.30, across 1.15, across-C 1.10, shared-H 1.50" # the longest, in sums of covalent radii
  sorting = ["--molecule", stage.rdkit.molecule, "--bonds", local.bonds, "--window", "${var.window}kcal/mol",
  "--first", var.conformers, "--same", "0.125Å 0.05kcal/mol 1%"] # RMSD, energy, rotational constants, as in CREST
  of_isomers  = "gfn2:normal <8kcal/mol, isomers 2 <6kcal/mol"   # the lowest 2 of each isomer
  last_levels = "gfn2:normal <3kcal/mol; gfn2:tight <3kcal/mol, twins 0.6Å 0.2kcal/mol 5%"
  many        = json(stage.rdkit.properties).pool > (stage.rdkit.nheavy > 10 ? 20 : 100) # then GFN-FF goes first
  # The jobs of an input file at the first attempt, the second, all others. INT halves the cycles of a large molecule;
  # an angle of 180° spoils it. The last job takes the energy, as MOPAC before 23.2 adds 12 kcal/mol for each C≡C where
  # a job starts. If its SCF ends in another state, the second attempt keeps the first (OLDENS), the third the lower.
  internal = stage.rdkit.nheavy > 10 && !stage.rdkit.linear
  energy   = "1SCF OLDGEO AUX(PRECISION=9,XP,XS,XW)"
  jobs = [local.internal ? ["EF INT", "EF INT OLDGEO", local.energy] : ["EF", local.energy],
    ["EF DENOUT", "LBFGS OLDGEO OLDENS DENOUT", "1SCF OLDGEO", "${local.energy} OLDENS"],
    [stage.rdkit.nheavy > 10 ? "LBFGS ITRY=1000" : "EF RECALC=1 ITRY=1000",
  "EF OLDGEO GNORM=0.01 DENOUT", "1SCF OLDGEO", "${local.energy} OLDENS"]]
  input = [for jobs in local.jobs : join("\n", [for i, job in jobs : i == 0 ?
  "${local.pm7} %s${job}\n%s\n\n%s\n" : "${local.pm7} ${job}\nat the final geometry\n"])]
  shift      = ["0.15Å 20° 80° 100%", "0.15Å 20° 80° 100%", "0.15Å 20° 80° 102%"] # so starts move: atoms, rotors, bonds
  isomers    = isomers(ensemble(stage.search.ensemble))                           # the lowest conformer of each
  isomer     = lowest_isomer(ensemble(stage.search.ensemble), stage.isomers[*].hof)
  searched   = of_isomer(ensemble(stage.search.ensemble), local.isomer)
  conformers = of_isomer(ensemble(coalesce(stage.conformers.ensemble, stage.search.ensemble)), local.isomer)
  places     = promising(length(local.conformers), coalesce(stage.single_points.energies, []), var.conformers)
  optimised  = [for place in local.places : local.conformers[place]]
  best       = stage.pm7[lowest(stage.pm7[*].hof)]
  starts     = stage.rdkit.nheavy > 6 ? [] : first(2, of_isomer(geometries(stage.rdkit.pool), local.isomer))
  lower      = coalesce(stage.single_points.hof, local.best.hof) < local.best.hof - 0.1
  lowest     = local.lower ? stage.single_points.geometry : mopac_geometry(local.best.aux)
  results    = local.lower ? concat(stage.pm7[*], [stage.minimum]) : refined(stage.pm7[*], stage.minimum)
  ranks      = concat(local.places, local.lower ? [length(local.conformers)] : []) # a start comes after all conformers
}

# 1. RDKit: starting geometries of each stereoisomer. They are ETKDG embeddings, relaxed by MMFF94s, each once.
stage "rdkit" {
  title = "RDKit parameters"
  file "embed.py" { source = "stages/embed.py" }
  worker   = ["python3", "embed.py", "--serve"] # RDKit is started once for a batch, not once for a molecule
  validate = concat(["python3", "embed.py", "--check"], local.row)
  command = concat(["python3", "embed.py"], local.row, ["--seed=${61453 + attempt}", "--open-stereo=${var.open_stereo}",
    "--isomers=16", "--all-embeddings=1200", # at most; of one isomer 4 + 16 n² for n torsions, and at most:
    "--embeddings=${coalesce(heavy_atoms(mol.smiles), 11) > 10 ? 300 : 400}", "--window=18kcal/mol", "--same=0.06Å",
  "--few=20 0.20Å 100kcal/mol", "--displace=0.05Å", "--time=300s"]) # few get more; of each coordinate; of the CPU
  timeout  = "15m"
  no_retry = [3] # embed.py: the row itself is wrong; another attempt can only fail the same way
  outputs  = { properties = "properties.json", molecule = "molecule.json", molfile = "molecule.mol", pool = "pool.xyz" }
  values = { nheavy = json(output.properties).nheavy, rigid = json(output.properties).rigid,
  soft = json(output.properties).nsoft, linear = json(output.properties).linear } # rigid: nothing turns; linear: 180°
  warnings = json(output.properties).warnings
}

# 2. GFN2-xTB: the conformers of each stereoisomer within 3 kcal/mol of the lowest, the most stable first.
stage "search" {
  title = "Conformer search"
  command = concat(["conformers", stage.rdkit.pool], local.state, local.sorting, ["--levels", local.many ? join("; ", [
    "gfnff:normal, same 0.20Å 0.5kcal/mol 3%, window +14kcal/mol", "gfn2:point, window +2kcal/mol",
    "gfn2:crude <8kcal/mol, same 0.20Å 0.5kcal/mol 3%, window +2kcal/mol, batches 20 <1.5kcal/mol", local.of_isomers,
    "gfn2:normal <5kcal/mol, batches 5 <0.5kcal/mol", # another if one of a batch ends so little above the first ones
    "gfn2:tight <1kcal/mol, twins 0.6Å 0.2kcal/mol 5%"]) : join("; ", [
  "gfn2:loose, same 0.20Å 0.5kcal/mol 3%, window +1kcal/mol", local.of_isomers, local.last_levels])])
  programs = ["xtb"]
  timeout  = "1h"
  outputs  = { ensemble = "conformers.xyz", log = "stdout" }
}

# 3. Of several stereoisomers the lowest by PM7 counts. The lowest conformer of each is optimised.
stage "isomers" {
  extends  = "pm7" # how it runs, and what is read and required
  enabled  = length(local.isomers) > 1
  for_each = local.isomers
  at_least = 1
}

# 4. CREST, if asked for, starts from the lowest conformer of the first search. From a wrong rotamer of an acid or an
# amide it may not come back. The heat of formation is then up to 6 kcal/mol too high. Stage conformers joins both.
stage "crest" {
  title   = "Conformer search by CREST"
  enabled = var.search == "crest" && !stage.rdkit.rigid
  file "start.xyz" { content = xyz_text(local.searched[0]) }
  command = concat(["crest", contains(salvaged, "crest_conformers.xyz") ? "salvage/crest_conformers.xyz" : "start.xyz",
  "--gfn2", "--quick", "--ewin", var.window, "-T", ignore_changes(var.threads)], local.state)
  programs   = ["xtb"] # which CREST 2.12 starts
  cores      = var.threads
  salvage    = ["crest_conformers.xyz"] # of a CREST that ran out of time; the next attempt starts from its best
  timeout    = "8h"
  exit_codes = { SEGV = "CREST crashed, and -set=search=etkdg does without it" }
  outputs    = { ensemble = "crest_conformers.xyz", log = "stdout" }
  values     = { count = length(ensemble(output.ensemble)) }
  require    = any_same_molecule(stage.rdkit.molecule, local.searched[0], ensemble(output.ensemble), local.bonds)
}
stage "conformers" {
  extends = "search"
  enabled = var.search == "crest" && !stage.rdkit.rigid
  command = concat(["merge_conformers", stage.search.ensemble, stage.crest.ensemble, "--isomer", local.isomer],
  local.state, local.sorting, ["--levels", local.last_levels])
}

# 5. PM7 optimises the most stable conformers by GFN2-xTB, and others with a lower single point. It has minima that
# GFN2-xTB lacks (P–P): small molecules start from RDKit, too. Stage minimum optimises the lowest again (isopropyl).
stage "single_points" {
  enabled  = length(local.conformers) > var.conformers || length(local.starts) > 0
  optional = true
  timeout  = "10m"
  file "pm7.mop" { content = join("", concat([for i, geometry in local.conformers :
    "${local.pm7} 1SCF\nsingle point ${i + 1}\n\n${mopac_cartesian(geometry)}\n\n"], [for i, geometry in local.starts :
  "${local.pm7} EF\nstart ${i + 1}\n\n${mopac_cartesian(geometry)}\n\n"])) }
  command = ["mopac", "pm7.mop"]
  outputs = { out = "pm7.out" }
  values = merge({ energies = single_points(output.out) }, # kcal/mol; and the lowest of the starts: hof, geometry
  reached(output.out, stage.rdkit.molecule, local.starts, local.bonds))
}
stage "pm7" {
  title    = "MOPAC PM7 calculation"
  for_each = local.optimised
  at_least = 1 # if one conformer fails, the others count, and the row says which one is missing
  timeout  = "10m"
  file "pm7.mop" { content = format(step(local.input, attempt), "", "${mol.mol_id}/${each.key + 1}", mopac_cartesian(
  perturbed(stage.rdkit.molecule, each.value, step(local.shift, attempt), 9000 + each.key + 100 * attempt))) }
  command  = ["mopac", "pm7.mop"]
  outputs  = { out = "pm7.out", aux = "pm7.aux", arc = "pm7.arc" }
  compress = ["pm7.aux"] # zstdcat shows it
  keep     = ["pm7.mop"]
  values   = mopac(output.out, output.aux, 0.5) # hof (kcal/mol at 298.15 K), homo (eV), ...; gradient ≤ 0.5 kcal/mol/Å
  require  = same_molecule(stage.rdkit.molecule, each.value, mopac_geometry(output.aux), local.bonds)
}
stage "minimum" {
  extends = "pm7"
  enabled = stage.rdkit.soft > 0 || local.lower # soft: torsions that may stay on a saddle point
  file "pm7.mop" { content = format(step(local.input, attempt), "GNORM=0.01 ", "${mol.mol_id} lowest", mopac_cartesian(
  perturbed(stage.rdkit.molecule, local.lowest, step(local.shift, attempt), 50 + 100 * attempt))) }
  require = same_molecule(stage.rdkit.molecule, local.lowest, mopac_geometry(output.aux), local.bonds)
}
stage "final" {
  title  = "Final calculations"
  values = summarise(placed(local.results[*].hof, local.ranks), 0.02) # in GFN2-xTB's order; kcal/mol that are the same
}

# The columns of the table, blank if a value is null. delta_1 to delta_3 are |H298_cbs - hof| in kcal/mol of the
# first three conformers, in the order of GFN2-xTB and not of PM7. most_stable_hof is the lowest by PM7.
merge {
  nheavy                     = stage.rdkit.nheavy
  stereo_smiles              = local.isomer
  crest_status               = status(stage.search, stage.crest, stage.conformers, "SUCCESS")
  mopac_status               = status(stage.pm7, stage.isomers, stage.minimum)
  crest_time                 = round(seconds(stage.search, stage.crest, stage.conformers), 2)
  mopac_time                 = round(seconds(stage.single_points, stage.pm7, stage.isomers, stage.minimum), 2)
  crest_conformers_generated = coalesce(stage.crest.count, length(local.searched))
  delta_1                    = try(round(abs(mol.H298_cbs - stage.final.hof[0]), 5), null)
  delta_2                    = try(round(abs(mol.H298_cbs - stage.final.hof[1]), 5), null)
  delta_3                    = try(round(abs(mol.H298_cbs - stage.final.hof[2]), 5), null)
  most_stable_hof            = round(stage.final.most_stable_hof, 5)
}
display { # what the terminal shows of a finished molecule; what has no value is left out
  result     = format("%7.2f kcal/mol", stage.final.most_stable_hof)
  reference  = format("ref %7.2f", mol.H298_cbs)
  deviation  = format("Δ %5.2f", abs(stage.final.most_stable_hof - mol.H298_cbs))
  conformers = length(local.searched) == 1 ? "1 conformer" : "${length(local.searched)} conformers"
}
export { # each conformer with its geometry, for mage export
  molfile  = stage.rdkit.molfile
  isomer   = local.isomer
  inchikey = try(json(stage.rdkit.properties).inchikeys[local.isomer], null)
  conformers = [for i, r in local.results : merge(r, { geometry = r.aux, gradient = r.gradient_norm,
  rank = local.ranks[i] + 1, energy = try(local.optimised[i].energy, null) })] # and hof, homo, lumo, dipole of r
}
