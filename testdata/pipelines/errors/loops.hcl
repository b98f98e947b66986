# What stands behind "for" is checked, though no element is known before a run.
stage "a" {
  command = ["true"]
  outputs = { out = "stdout" }
  values = {
    e = try(min([for c in ensemble(output.out) : c.enrgy]...), 0)            # ERROR: Unknown attribute: This object does not have an attribute named "enrgy".
    f = [for c in ensemble(output.out) : c.energy if c.comment + 1 > 2]      # a text of digits is a number
    g = [for c in ensemble(output.out) : [for s in c.symbols : s.name]]      # ERROR: Unknown attribute: Can't access attributes on a primitive-typed value (string).
    h = { for i, c in ensemble(output.out) : i => c.x[0] + c.symbols }       # ERROR: Invalid operand: Unsuitable value for right operand: number required
    i = [for c in ensemble(output.out) : can(c.nergy)]                       # ERROR: Unknown attribute: This object does not have an attribute named "nergy".
    j = [for c in ensemble(output.out) : strlen(c.comment, 1)]               # ERROR: Too many function arguments: Function "strlen" expects only 1 argument(s).
  }
}

# A name of an inner for is not that of the outer one.
stage "b" {
  for_each = [1]
  values   = { v = 1 }
}

stage "c" {
  for_each = [1]
  values   = { w = 1 }
}

merge {
  x = sum(flatten([for r in stage.b : [for r in stage.c : r.w]]))
  y = sum(flatten([for r in stage.b : [for q in stage.c : r.w + q.w]])) # ERROR: Unknown output or value: Stage "b" has no output or value "w".
}
