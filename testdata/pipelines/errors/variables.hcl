# -set: serch=crest, count=abc, pool=3, search=a/b.c
# ERROR 0: Unreadable -set: -set gives "search" no plain value. A text stands in quotes: -set='search="..."'.
# ERROR 0: Value for an undeclared variable: -set sets "serch", but no variable of that name is declared. Did you mean "search"?
# ERROR 0: Unsuitable value for a variable: -set sets the variable "count" to a value of another type: a number is needed here, not "abc".
# ERROR 0: Unsuitable value for a variable: -set sets the variable "pool" to a value of another type: a list is needed here, not a number.
variable "search" {
  default = "xyz"
  validation { # ERROR: Invalid value for a variable: The variable "search" (from default): search is "etkdg" or "crest", not "xyz".
    condition     = contains(["etkdg", "crest"], var.search)
    error_message = "search is \"etkdg\" or \"crest\", not \"${var.search}\"."
  }
}

variable "count" { default = 3 }
variable "pool" { default = [1, 2] }
variable "first" {}  # ERROR: Variable without a value: The variable "first" has no default; give it a value with -set='first=...'.
variable "second" {} # ERROR: Variable without a value: The variable "second" has no default

variable "typed" {
  type    = number
  default = "many" # ERROR: Unsuitable default: The default of "typed" is not of its type: a number is needed here, not "many".
}

variable "named" {
  default = var.count # ERROR: Not a constant: what is computed can't stand here
}

variable "mol" {
  default = 1
  validation {
    condition     = mol.charge == 0 # ERROR: Name out of place: "mol" can't be used in a validation.
    error_message = "no"
  }
}

program "xtb" {
  version = ["obabel", "-V"] # ERROR: Invalid version: version is a command that starts with the program itself, like ["xtb", "--version"].
}

program "mopac" {
  version = [] # ERROR: Invalid version: version is a command that starts with the program itself
}

stage "s" {
  command = ["true", var.first, var.typed, var.named]
}

program "relative" {
  path = ["relative", "bin/relative"] # ERROR: Invalid path: path is a list of names or absolute paths
}
