locals {
  a = "${local.a}x" # ERROR: Cycle: local.a (line 2) needs its own value.
}

stage "s" {
  command = ["true", local.a]
}
