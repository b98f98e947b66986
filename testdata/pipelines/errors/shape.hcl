# Attributes and blocks in the wrong place or form.
pipeline {
  table      = "t.csv"
  max_reruns = 2.5       # ERROR: Invalid max_reruns: a whole number from 0 to 1000
  jobs       = "two"     # ERROR: Invalid jobs: a whole number from 1 to 4096.
  env        = ["a"]     # ERROR: Invalid env: env is an object of names and texts
  order      = "largest" # ERROR: Invalid order: order must be "table" or "smallest_first".
}

molecule {
  size = [mol.nheavy, mol.smiles] # ERROR: Unsuitable size: size has a text in it; it is made of numbers.
}

stge "z" { # ERROR: Unknown block: Did you mean "stage"?
  command = ["true"]
}

stage { # ERROR: Missing name for stage: All stage blocks must have 1 labels (name).
  command = ["true"]
}

stage "a" {
  command = ["true"]
  timeot  = "1m" # ERROR: Unknown attribute: Did you mean "timeout"?
}

stage "a" { # ERROR: Duplicate block: The block stage a stands already at line 22
  command = ["true"]
}

stage "A" { # ERROR: Duplicate block: The block stage A stands already at line 22, in whatever letter case.
  command = ["true"]
}

stage "b c" { # ERROR: Invalid name: "b c" can't be the name of a stage
  command = ["true"]
}

stage "files" { # ERROR: Stage without a command: Stage "files" makes files
  outputs = { a = "x" }
}

stage "more" {
  command   = ["true"]
  max_files = 0     # ERROR: Invalid max_files: max_files is a whole number, 1 or more.
  title     = mol.smiles # ERROR: Not a constant: A plain value stands here
  file "x" {} # ERROR: File without content: The file "x" needs either content
  file "../x" { content = "" } # ERROR: Path outside of the scratch folder: "../x" leaves the stage's own folder.
  file "y" { content = "" }
  file "y" { content = "" } # ERROR: Duplicate block: The file "y" is written twice in this stage, or is the folder of another.
  file "y/z" { content = "" } # ERROR: Duplicate block: The file "y/z" is written twice
  file "z" { source = "nosuch.tmpl" } # ERROR: Unsuitable source: nosuch.tmpl: file does not exist
  postcondition { # ERROR: Missing attribute: The argument "error_message" is required
    condition = true
  }
}

merge {
  smiles = "C" # ERROR: Reserved column: The column "smiles" belongs to the molecule or to the batch itself.
  x      = 1
}

merge {
  x = 2 # ERROR: Duplicate column: The column "x" is merged already.
}

stage "threads" {
  command = ["true"]
  cores   = 1.5             # ERROR: Unsuitable cores: cores is how many processor cores the program takes
  worker  = ["false", "-s"] # ERROR: Unsuitable worker: worker is how the command's program is started to stay
}

stage "alone" {
  command  = ["true"]
  at_least = 1 # ERROR: Unsuitable at_least: Stage "alone" has no for_each, so it has one target
}

stage "several" {
  for_each = [1, 2]
  command  = ["true"]
  at_least = 0.5 # ERROR: Invalid at_least: at_least is how many targets of a for_each must succeed: a whole number from 1 to 2000.
}

stage "some" {
  for_each = [1, 2]
  command  = ["true"]
  at_least = "most" # ERROR: Invalid at_least: a whole number from 1 to 2000.
}

stage "final" {
  command  = ["true"]
  no_retry = [0] # ERROR: Invalid no_retry: no_retry is a list of the command's exit codes, from 1 to 255, like [3].
}

stage "finally" {
  values   = { a = 1 }
  no_retry = [3] # ERROR: Invalid no_retry: no_retry is a list of the command's exit codes
}

stage "last" {
  command  = ["true"]
  no_retry = 3 # ERROR: Invalid no_retry: no_retry is a list
}

stage "asks_nobody" {
  command  = ["true"]
  validate = mol.smiles # ERROR: Unsuitable validate: validate is a list of words
}

stage "asks" {
  command  = ["true"]
  worker   = ["true", "-s"]
  validate = ["false", mol.smiles] # ERROR: Unsuitable validate: validate is a command that the stage's worker answers for a row: a list of words that starts with "true"
}

stage "asks_too_much" {
  command  = ["true"]
  worker   = ["true", "-s"]
  validate = ["true", stage.asks.status, attempt] # ERROR: Name out of place: "stage" can't be used in validate # ERROR: Name out of place: "attempt" can't be used in validate
}
