# Slips that people make, each with its hint.
variable "on" { default = True } # ERROR: Default is not a constant: Did you mean true?

column "nheavy" { type = int } # ERROR: Invalid type: The cells of the column "nheavy" are of type = number or type = string.

locals {
  name   = mol.smiles
  result = stage.a.n
  hof    = try(stage.three[0].hoff, null) # ERROR: Unknown output or value: Stage "three" has no output or value "hoff". Did you mean "hof"?
}

stage "a" {
  command = ["xtb", "x.xyz", ">", "out.log"] # ERROR: Unsuitable command: Word 3 of the command is >, but no shell reads the command.
  outputs = { log = "out.log" }
  values  = { n = 1 }
}

stage "b" {
  command = ["true", "*.xyz"] # ERROR: Unsuitable command: Word 2 of the command is *.xyz, but no shell fills in the *
}

stage "c" {
  command = ["python3", "../valid/stages/embed.py"] # ERROR: Unsuitable command: Word 2 of the command is ../valid/stages/embed.py, a file beside pipeline.hcl
}

stage "d" {
  command  = ["true", "in/x"]
  enabled  = mol.smiles == 3           # ERROR: Text compared with another type: write tonumber(mol.smiles).
  values   = { a = mni(1, 2), b = True } # ERROR: Unknown function: Did you mean "min"? # ERROR: Unknown name: Nothing is called "True". Did you mean true?
  warnings = [for i, s in ["a"] : s if mol.smiles != 3] # ERROR: Text compared with another type: write tonumber(mol.smiles).
}

stage "three" {
  for_each = [1, 2]
  values   = { hof = each.value }
}

stage "e" {
  command  = ["true", local.result]
  worker   = ["true", "-s"]
  validate = ["true", local.name, local.result] # ERROR: Name out of place: local.result uses stage.a, which can't be used in validate
  require  = "yes" # ERROR: Unsuitable require: require must be true or false, not a text.
  optional = 3     # ERROR: Invalid optional: optional is true or false.
}

stage "f" {
  values = { x = try([for run in stage.three : run.hoff], []), y = try(stage.three[var.n].hofs, 0) } # ERROR: Unknown output or value: Did you mean "hof"? # ERROR: Unknown output or value: Stage "three" has no output or value "hofs". Did you mean "hof"?
}

variable "n" { default = 0 }

export {
  geometri = stage.a.log # ERROR: Unknown attribute: Nothing called "geometri" is exported.
}

merge {
  H298_cbs = stage.g.x # ERROR: Column is read and merged: Stage "g" (line 60) reads mol.H298_cbs
}

stage "g" { values = { x = mol.H298_cbs } }

stage "h" {
  command = ["./x.sh"] # ERROR: Unsuitable command: The first word of the command, the program, is a relative path, ./x.sh: give its absolute path. For a script: file "x.sh" { source = "./x.sh" }, and an interpreter and "x.sh" in the command.
}
