# A stage that extends another: mistakes of extends, and of what it is given.
variable "search" {
  one_of  = ["etkdg", "crest"]
  default = "etkgd" # ERROR 2: Invalid value for a variable: The variable "search" (from default): "etkgd" is not one of etkdg, crest.
}

variable "store" { one_of = [] } # ERROR: Invalid one_of: one_of is a list of texts. The first is the default.

stage "base" {
  for_each = [1, 2]
  file "x" { content = "${each.value}" } # ERROR: Name out of place: "each" is an element of for_each, and stage "single" has none.
  command = ["cat", "x", stage.none.out] # ERROR: Unknown stage: There is no stage "none".
  outputs = { log = "stdout" }
}

stage "single" { extends = "base" }

stage "misspelt" {
  extends = "bsae" # ERROR: Unknown other stage: There is no other stage "bsae". Did you mean "base"?
  values  = {}
}

stage "chained" {
  extends = "single" # ERROR: Unsuitable extends: Stage "single" extends a stage itself. Extend that one.
  command = ["true"]
}

stage "itself" {
  extends = "itself" # ERROR: Unknown other stage: There is no other stage "itself".
  command = ["true"]
}

stage "bare" {
  extends = base # ERROR: Not a constant: A plain value stands here
  command = ["true"]
}

stage "missing" { extends = "bare" } # ERROR: Unsuitable extends: Stage "bare" extends a stage itself.
