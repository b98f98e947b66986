# Columns that a merge block can't write, and columns that no result may depend on.
stage "a" {
  command = ["echo", mol.status == null ? "-" : mol.status] # ERROR: Column of the batch: The batch writes mol.status itself with each result
  outputs = { out = "stdout" }
}

merge {
  charge   = 1           # ERROR: Reserved column: The column "charge" belongs to the molecule or to the batch itself.
  STATUS   = "OK"        # ERROR: Reserved column: The column "STATUS" belongs
  NHeavy   = 1           # ERROR: Column in other letters: The table has the column "nheavy".
  x        = "1"
  X        = "2"         # ERROR: Duplicate column: The column "X" is merged already.
  y        = mol.status  # ERROR: Column of the batch: The batch writes mol.status itself
  H298_cbs = 1           # ERROR: Reserved column: The column "H298_cbs" belongs
}

# A status is one of a few words. Another one never equals it.
stage "b" {
  enabled = stage.a.status == "OK"     # ERROR: Never equal: A target's status is ok, failed, none or left_out.
  command = ["true"]
}
stage "c" {
  enabled = "FAILED" != stage.a.status # ERROR: Never equal: A target's status is ok, failed, none or left_out.
  command = ["true"]
}
stage "d" {
  enabled = status(stage.a) == "ok"    # ERROR: Never equal: status() gives FAILED, NOT_ATTEMPTED or OK.
  command = ["true"]
}
stage "e" {
  enabled = status(stage.a, "SUCCESS") == "SUCCESS" && stage.a.status == "ok" && status(stage.a) == "FAILED"
  command = ["true"]
}
stage "f" {
  enabled = status(stage.a, "SUCCESS") == "OK" # ERROR: Never equal: status() gives FAILED, NOT_ATTEMPTED or SUCCESS.
  command = ["true"]
}
