# What other tools have, with what stands for it here.
stage "u" {
  command    = ["true"]
  when       = mol.charge > 0 # ERROR: Unknown attribute: Nothing is called "when" here. Did you mean "enabled"?
  count      = 3              # ERROR: Unknown attribute: Nothing is called "count" here. Write for_each = range(3) for three targets.
  depends_on = [stage.t]      # ERROR: Unknown attribute: A reference such as stage.NAME.output is the dependency.
  retries    = 3              # ERROR: Unknown attribute: The pipeline block has max_reruns.
}

stage "t" {
  command = ["true"]
}
