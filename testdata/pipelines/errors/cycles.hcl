# What needs itself.
locals {
  a = local.b # ERROR: Cycle: local.a (line 3) needs local.b (line 5) needs local.a (line 3)
  c = local.b
  b = "${local.a}"
}

stage "one" { # ERROR: Cycle: stage.one (line 8) needs stage.three (line 20) needs stage.two (line 14) needs stage.one (line 8)
  command = ["true", stage.three.z, local.a]
  outputs = { x = "x" }
  values  = { v = stage.three.w }
}

stage "two" {
  command = ["true", stage.one.x, stage.one.v]
  outputs = { y = "y" }
  values  = { w = 1 }
}

stage "three" {
  command = ["true", stage.two.y, stage.two.w]
  outputs = { z = "z" }
  values  = { w = stage.two.w }
}
