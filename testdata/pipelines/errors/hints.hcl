# Slips that people make, each with its hint.
variable "on" { default = True } # ERROR: Not a constant: Did you mean true?

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
  command = ["true", "*.xyz"] # ERROR: Unsuitable command: Word 2 of the command is *.xyz, but no shell puts names in the place of a pattern
}

stage "c" {
  command = ["python3", "../valid/stages/embed.py"] # ERROR: Unsuitable command: Word 2 of the command is ../valid/stages/embed.py, a file beside pipeline.hcl
}

stage "d" {
  command  = ["true", "in/x"]
  enabled  = mol.smiles == 3           # ERROR: Values of two types compared: write tonumber(...)
  values   = { a = mni(1, 2), b = True } # ERROR: Unknown function: Did you mean "min"? # ERROR: Unknown name: Nothing is called "True". Did you mean true?
  warnings = [for i, s in ["a"] : s if mol.smiles != 3] # ERROR: Values of two types compared: write tonumber(...)
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
  nheavy = stage.g.x # ERROR: Column is read and merged: Line 60 reads mol.nheavy
}

stage "g" { values = { x = mol.nheavy } }

# What try and can hide is found, if it can only fail. What depends on a value is not.
locals {
  three   = stage.three[*]
  typo    = try(min(local.three[*].hoff...), -5) # ERROR: Unknown attribute: does not have an attribute named "hoff"
  few     = can(round(stage.a.n)) # ERROR: Not enough function arguments: Missing value for "decimals"
  list    = try(upper(local.three), "") # ERROR: Invalid function argument: string required, but have list of object
  setting = try(var.options.solvent, "water")
  cell    = try(tonumber(mol.smiles), 0)
}

variable "options" { default = {} }

stage "h" {
  for_each = [mol.smiles]
  command  = ["sort data.txt"] # ERROR: Unsuitable command: The first word of the command is "sort data.txt", but a program is needed
  enabled  = contains([1, 2], mol.smiles) # ERROR: Values of two types compared: write tonumber(...)
  values   = { x = each.value == 1, y = [1] == [], z = {} != stage.a } # ERROR: Values of two types compared: write tonumber(...)
}

stage "i" {
  command = ["cp", "~/x", "here"] # ERROR: Unsuitable command: Word 2 of the command is ~/x, but no shell reads the command
}

stage "j" {
  command = ["cp", "$HOME/x", "here"] # ERROR: Unsuitable command: Word 2 of the command is $HOME/x, but no shell reads
}

stage "k" {
  command = ["sh", "-c", "$0 > out;", "true"]
}

stage "l" {
  command = ["./x.sh"] # ERROR: Unsuitable command: The first word of the command, the program, is a relative path, ./x.sh: give its absolute path. For a script: file "x.sh" { source = "./x.sh" }, and an interpreter and "x.sh" in the command.
}

variable "method" { default = none } # ERROR: Not a constant: Did you mean null?

pipeline { store = zip } # ERROR: Not a constant: A text stands in quotes

stage "m" {
  command  = ["true"]
  compres  = ["stdout"] # ERROR: Unknown attribute: Nothing is called "compres" here. Did you mean "compress"?
  optional = Yes   # ERROR: Not a constant: Did you mean true?
  values = {
    a = if(true, 1, 2)                      # ERROR: Unknown function: There is no function "if".
    b = nil                                 # ERROR: Unknown name: Did you mean null?
    c = [for geometry in ["a"] : gemoetry]  # ERROR: Unknown name: Did you mean "geometry"?
    d = [for r in stage.three : "${R}"]     # ERROR: Unknown name: Did you mean "r"?
    f = for(1)                              # ERROR: Unknown function: There is no function "for".
  }
}

stage "n" {
  values = {
    e = same_bonds(["a"], "b")              # ERROR: Invalid function argument: same_bonds: invalid value for "molecule" parameter # ERROR: Invalid function argument: same_bonds: invalid value for "frame" parameter
    g = status()                            # ERROR: Error in function call: status: at least one stage is needed, like stage.pm7.
  }
}

# What follows from a mistake is not reported.
locals {
  sum   = local.smu # ERROR: Unknown local value: Did you mean "sum"?
  three_sum = local.sum + local.threes # ERROR: Unknown local value: Did you mean "three"?
}

# What follows from the wrong type of nheavy, of charge and of H298_cbs is no mistake of its own.
column "charge" { tpye = number } # ERROR: Unknown attribute: Nothing is called "tpye" here.

column "H298_cbs" {} # ERROR: Invalid type: The cells of the column "H298_cbs" are of type = number or type = string.

stage "typed" {
  command = ["true", mol.nheavy + 1, abs(mol.charge), mol.H298_cbs < 0 ? "a" : "b"]
  timeout = "${mol.nheavy}s"
  values  = { twice = 2 * mol.charge, text = upper(mol.H298_cbs) }
}

# Nor does a misspelt attribute lack.
variable "misspelt" { defualt = 3 } # ERROR: Unknown attribute: Nothing is called "defualt" here. Did you mean "default"?

stage "misspelt" {
  command  = ["true", var.misspelt + 1]
  foreach  = [1, 2] # ERROR: Unknown attribute: Nothing is called "foreach" here. Did you mean "for_each"?
  at_least = 1
  file "x" {
    contnet = "a" # ERROR: Unknown attribute: Nothing is called "contnet" here. Did you mean "content"?
  }
  precondition {
    conditon      = mol.nheavy > 1 # ERROR: Unknown attribute: An argument named "conditon" is not expected here. Did you mean "condition"?
    error_message = "x"
  }
  precondition { # ERROR: Missing attribute: The argument "condition" is required # ERROR: Missing attribute: The argument "error_message" is required
  }
}
