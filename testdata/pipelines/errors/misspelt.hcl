# What is misspelt is there, so that nothing else is wrong with what names it.
stagee "a" { # ERROR: Unknown block: Nothing is called "stagee" here. Did you mean "stage"?
  command = ["echo", var.n, local.name, "E=1"]
  output  = { out = "stdout" }                                       # ERROR: Unknown attribute: Nothing is called "output" here. Did you mean "outputs"?
  vals    = { energy = tonumber(regex("E=(.*)", file(output.out))[0]) } # ERROR: Unknown attribute: Nothing is called "vals" here. Did you mean "values"?
}

variabel "n" { defalt = 3 } # ERROR: Unknown block: Did you mean "variable"? # ERROR: Unknown attribute: Did you mean "default"?

local { name = uper(mol.smiles) } # ERROR: Unknown block: Did you mean "locals"? # ERROR: Unknown function: There is no function "uper". Did you mean "upper"?

columns "nheavy" { type = number } # ERROR: Unknown block: Did you mean "column"?

merge {
  x = stage.a.energy + mol.nheavy
}

# Nor has an output with a mistake no name, nor a stage no program whose command has a mistake.
stage "b" {
  command  = ["true", mol.smils] # ERROR: Unknown column: The table has no column "smils". Did you mean "smiles"?
  outputs  = { out = "/tmp/x" }  # ERROR: Path outside of the scratch folder: "/tmp/x" leaves the stage's own folder. Name a file inside of it.
  validate = ["true", mol.smiles]
  values   = { text = file(output.out) }
}

stage "c" {
  command = ["cat", stage.b.out, step(["a"], attmpt)] # ERROR: Unknown name: Nothing is called "attmpt". Did you mean "attempt"?
  outputs = { out = "*.xyz" }                         # ERROR: Unsuitable outputs: "*.xyz" is a pattern. An output is one file: name it
  salvage = ["*.log"]                                 # ERROR: Invalid salvage: salvage is a list of plain names of files
}

# A name that a local value can't have is one mistake, wherever the value is used.
locals {
  other = stgae.a.n    # ERROR: Unknown name: Nothing is called "stgae". Did you mean "stage"?
  again = attempt > 0  # ERROR: Name out of place: "attempt" can't be used in a local value: write it in the stage's own attribute.
  file  = output.log   # ERROR: Name out of place: "output" can't be used in a local value: write it in the stage's own attribute.
  part  = each.value   # ERROR: Name out of place: "each" can't be used in a local value: write it in the stage's own attribute.
}

stage "o" {
  command = ["true", local.other, local.again, local.part]
  values  = { a = local.file, b = local.other }
}
