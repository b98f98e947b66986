# Names that don't exist, with the nearest that do.
variable "timeout" { default = "10m" }
variable "cycles" { default = 3 }
locals { keywords = "PM7 ${var.cycle}" } # ERROR: Unknown variable: There is no variable "cycle". Did you mean "cycles"?

stage "rdkit" {
  command = ["python3", mol.smile] # ERROR: Unknown column: The table has no column "smile". Did you mean "smiles"?
  timeout = var.timout             # ERROR: Unknown variable: There is no variable "timout". Did you mean "timeout"?
  outputs = { geometry = "g.xyz", pool = "pool.xyz" }
}

stage "preopt" {
  command = ["xtb", stage.rdki.geometry, locl.keywords] # ERROR: Unknown stage: There is no stage "rdki". Did you mean "rdkit"? # ERROR: Unknown name: Nothing is called "locl".
  env     = { A = stage.rdkit.geometri, B = local.keyword, C = each.key } # ERROR: Unknown output or value: Stage "rdkit" has no output or value "geometri". Did you mean "geometry"? # ERROR: Unknown local value: There is no local value "keyword". Did you mean "keywords"? # ERROR: Name out of place: "each" is an element of for_each, and stage "preopt" has none.
  outputs = { log = "stdout" }
  values  = { energy = absx(1), lines = file(output.lg) } # ERROR: Unknown function: There is no function "absx". Did you mean "abs"? # ERROR: Unknown output: There is no output "lg". Did you mean "log"?
  file "a.inp" {
    content = "charge ${mol.chrge}" # ERROR: Unknown column: The table has no column "chrge". Did you mean "charge"?
  }
  file "b.inp" {
    # ERROR 25: Unknown column: The table has no column "multiplicty". Did you mean "multiplicity"?
    content = <<-EOT
      charge ${mol.charge}

      spin ${mol.multiplicty}
    EOT
  }
}

stage "pm7" {
  for_each = [1, 2]
  command  = ["mopac", "${each.valu}.mop"] # ERROR: Unknown part of each: Did you mean "value"?
  outputs  = { out = "pm7.out" }
  values   = { hof = 1 }
}

stage "self" {
  values = { a = stage.self.b } # ERROR: Stage refers to itself: output.NAME is a file that it makes
}

merge {
  a = stage.pm7.hof        # ERROR: Missing index: write stage.pm7[0] for the first, stage.pm7[*] for all
  b = stage.rdkit[0].pool  # ERROR: One of one: Stage "rdkit" has no for_each and runs once: write stage.rdkit.NAME.
  c = min(stage.pm7[*].hoff...) # ERROR: Unknown output or value: Stage "pm7" has no output or value "hoff". Did you mean "hof"?
  k = stage.pm7[2].hof     # ERROR: Index too large: The for_each of stage "pm7" has 2 elements, and the first is stage.pm7[0].
  l = try(stage.pm7[5].hof, stage.pm7[1].hof, stage.pm7["0"].hof) # ERROR: Index too large: The for_each of stage "pm7" has 2 elements
  d = stage.pm7[0].hofs    # ERROR: Unknown output or value: Did you mean "hof"?
  e = mol                  # ERROR: Incomplete name: "mol" alone names nothing; write mol.NAME.
  f = smiles               # ERROR: Unknown name: a text stands in quotes
  g = attempt              # ERROR: Name out of place: "attempt" can't be used in the merge block.
  h = output.x             # ERROR: Name out of place: "output" can't be used in the merge block.
  i = status(stage.rdkit.geometry) # ERROR: Error in function call: status: argument 1 must be a stage, like stage.pm7.
  j = [stage.preopt.log]   # ERROR: Unsuitable cell: A cell of the table holds a text or a number, not a list.
}
