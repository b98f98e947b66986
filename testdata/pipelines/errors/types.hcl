# Values of the wrong type.
variable "word" { default = "abc" }
variable "on" { default = false }
variable "table" { default = { a = 1 } }

stage "off" {
  enabled = var.on
  command = ["true"]
  outputs = { x = "x.xyz" }
  values  = { e = 1 }
}

stage "a" {
  command  = "xtb ${mol.smiles}" # ERROR: Unsuitable command: command is a list of words, texts and numbers
  timeout  = "5 minutes"         # ERROR: Unsuitable timeout: "5 minutes" is no duration: a timeout is a text like "90s", "10m" or "2h30m".
  for_each = "abc"               # ERROR: Unsuitable for_each: for_each needs a list, not a text: the stage runs once for each element.
  enabled  = "yes"               # ERROR: Unsuitable enabled: enabled must be true or false, not a text.
  env      = { "A=B" = 1 }       # ERROR: Unsuitable env: "A=B" can't be an environment variable
  programs = [mol.smiles]        # ERROR: Unsuitable programs: programs must be a list of texts that doesn't depend on the molecule.
  values   = [1]                 # ERROR: Unsuitable values: values must be an object of names and values
}

stage "b" {
  command  = ["true", stage.off.x] # ERROR: Unsuitable command: Word 2 of the command has no value: it names a stage that is turned off, or an empty variable.
  timeout  = "-5m"                 # ERROR: Unsuitable timeout: The timeout "-5m" must be greater than 0
  for_each = null                  # ERROR: Unsuitable for_each: for_each needs a list, not null
}

stage "c" {
  command = mol.charge > 0 ? ["xtb"] : ["mopac"] # ERROR: Unsuitable command: The first word of the command, the program, must be a text that doesn't depend on the molecule, as in
  timeout = 10                                   # ERROR: Unsuitable timeout: A timeout is a text like "90s", "10m" or "2h30m", not a number.
  outputs = {
    up       = "../x" # ERROR: Path outside of the scratch folder: "../x" leaves the stage's own folder. Name a file inside of it.
    absolute = "/tmp/x" # ERROR: Path outside of the scratch folder: "/tmp/x" leaves the stage's own folder.
    status   = "s" # ERROR: Reserved name: Every stage has stage.NAME.status already; call this something else.
    both     = "b"
    none     = null # ERROR: Unsuitable outputs: The output "none" must be a file name.
  }
  values = {
    both    = 1 # ERROR: Duplicate name: stage "c" has an output and a value called "both"; stage.c.both would mean both.
    seconds = 1 # ERROR: Reserved name: Every stage has stage.NAME.seconds already; call this something else.
  }
  precondition {
    condition     = "perhaps" # ERROR: Unsuitable condition: condition must be true or false, not a text.
    error_message = "no"
  }
}

stage "d" {
  command = ["true", ["nested"]]            # ERROR: Unsuitable command: not a list as word 2.
  timeout = "${10 * pow(2, attempt)}min"    # ERROR: Unsuitable timeout: "10min" is no duration
  outputs = { x = mol.smiles }              # ERROR: Name out of place: "mol" can't be used in outputs.
  values  = { f = attempt } # ERROR: Name out of place: "attempt" can't be used in values and postconditions
}

stage "e" {
  command = ["true", output.x] # ERROR: Name out of place: output.NAME is a file that the stage has made, for values, require and postconditions.
  env     = { A = var.word * 2 } # ERROR: Invalid operand: a number is required
  outputs = { x = "x" }
  values  = { a = var.table.b, b = file("nosuch.txt"), c = stage.off.e + 1 } # ERROR: Unknown attribute: This object does not have an attribute named "b". # ERROR: Error in function call: nosuch.txt: no such file # ERROR: Missing value: One side of this operation has no value (null): an empty cell, or a stage that is turned off.
}

stage "f" {
  enabled  = attempt > 0 # ERROR: Name out of place: "attempt" can't be used in enabled.
  for_each = [each.key]  # ERROR: Name out of place: "each" can't be used in for_each.
  command  = [null]      # ERROR: Unsuitable command: Word 1 of the command has no value
}

stage "g" {
  command = null # ERROR: Unsuitable command: command is a list of words, texts and numbers
  values  = { a = file("nosuch.txt"), b = round(1.5, -1) } # ERROR: Error in function call: round: the decimals must be a whole number from 0 to 15. # ERROR: Error in function call: file: nosuch.txt: no such file (names start in the folder of pipeline.hcl).
}

merge {
  x = stage.off.e + 1 # ERROR: Missing value: a stage that is turned off
}

stage "warns" {
  command  = ["true"]
  outputs  = { x = "x" }
  warnings = "open stereo" # ERROR: Unsuitable warnings: warnings must be a list of texts; null and empty ones say nothing.
}

stage "warns_of_lists" {
  command  = ["true"]
  warnings = [["open stereo"]] # ERROR: Unsuitable warnings: warnings must be a list of texts; null and empty ones say nothing.
}

stage "warns_early" {
  command  = ["true"]
  warnings = ["attempt ${attempt}"] # ERROR: Name out of place: "attempt" can't be used in values and postconditions
}

merge {
  H298_x     = "n/a"
  nrotbonds  = "n/a"                        # ERROR: Unsuitable cell: The cells of the column "nrotbonds" are numbers, not "n/a".
  delta_1    = status(stage.warns)          # ERROR: Unsuitable cell: The cells of the column "delta_1" are numbers, not a text.
  delta_2    = mol.charge > 0               # ERROR: Unsuitable cell: The cells of the column "delta_2" are numbers, not true or false.
  delta_3    = "1.5"
  mopac_time = mol.smiles
}
