# Mistakes that would give another result without a word.

# What would silently be false.
stage "o" {
  values = {
    a = mol.smiles == ""          # ERROR: Cell compared with an empty text: An empty cell is null
    b = "" != mol.H298_cbs ? 1 : 2 # ERROR: Cell compared with an empty text: Compare it with null.
  }
}

stage "off" {
  enabled = false
  values  = { flag = true }
}

merge {
  a = mol.charge == true              # ERROR: Values of two types compared: A number never equals true or false: compare values of one type.
  b = mol.smiles == ["C"]             # ERROR: Values of two types compared: A text never equals a list
  c = [mol.charge] == ["1"]           # ERROR: Values of two types compared: write tonumber(...)
  d = contains([[1]], mol.charge)     # ERROR: Values of two types compared: A list never equals a number
  e = stage.off.flag && true          # ERROR: Missing value: One side has no value (null): an empty cell, or a stage that is turned off.
  f = false && stage.off.flag
  g = stage.off.flag == null
  h = mol.smiles == null
}

# A value that is only letters.
stage "p" {
  command = ["true", "mol.smiles", "--charge=$mol.charge", "--charge={mol.charge}", "$${mol.charge}", "output.log", "mol.xyz"] # ERROR: Name in a text: The text has the letters mol.smiles # ERROR: Name in a text: Write ${mol.charge} in a text, or mol.charge without quotes. # ERROR: Name in a text: mol.charge
  env     = mol.smiles # ERROR: Unsuitable env: env must be an object of names and values.
}

stage "python" {
  command = ["python3", "x.py"]
  file "x.py" {
    content = <<-EOT
      print(f"{mol.charge}")
    EOT
  }
  file "y" { content = "charge $mol.charge" } # ERROR: Name in a text: Write ${mol.charge} in a text
}

# Results that an expression can't wait for, or that come from itself.
locals { own = stage.q.n }
stage "q" { values = { n = local.own } } # ERROR: Stage refers to itself: local.own uses the results of stage "q"
merge {
  nheavy = coalesce(mol.nheavy, 1) # ERROR: Column is read and merged: Line 47 reads mol.nheavy
}

# What would be left out of the fingerprint although it decides.
stage "r" {
  command = ["true", upper(ignore_changes("a")), "a" == ignore_changes("a") ? 1 : 2] # ERROR: Function out of place: It can't be compared # ERROR: Function out of place: It can't be compared
  file "x" { content = format("%5s|", ignore_changes(4)) } # ERROR: Function out of place: Write it around the function, as in ignore_changes(format(...)).
  file "y" { content = ignore_changes(format("%5s|", 4)) }
  env     = merge({ A = ignore_changes(1) }, { B = "x${join(",", [ignore_changes(1)])}" })
}

# One name twice in an object.
stage "s" {
  command    = ["true"]
  outputs    = { a = "x", a = "y" }     # ERROR: Duplicate name: "a" stands already at line 61 of this object.
  exit_codes = { "1" = "x", "1" = "y" } # ERROR: Duplicate name: "1" stands already
}

pipeline { artefacts = ".." } # ERROR: Invalid artefacts: artefacts is the name of a folder without pipeline.hcl in it.

# One message, and not what follows from it.
stage "t" {
  values { v = 1 } # ERROR: Unknown block: Did you mean to define argument "values"?
}

stage "u" {
  for_each = [1]
  values   = { v = 1 }
  optional = true
  at_least = 1 # ERROR: Unsuitable at_least: Stage "u" is optional, so that any target may fail.
}
