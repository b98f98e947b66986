# What would fill the memory or never end.
locals {
  text  = join("", [for i in range(1000) : "${i} ----------------------------------------------------------------"])
  twice = "${local.text}${local.text}${local.text}${local.text}${local.text}${local.text}${local.text}${local.text}"
}

stage "s" {
  command = ["true"]
  values = {
    a = pow(10, 1e9)                   # ERROR: Error in function call: pow: the number is infinite (a division by zero?), or larger than 1e308.
    b = range(1e9)                     # ERROR: Error in function call: range: more than 1024 values were generated
    c = format("%1000000000d", 1)      # ERROR: Error in function call: format: the text would be too long.
    d = indent(1e9, "a\nb")            # ERROR: Error in function call: indent: the text would be too long.
    e = jsondecode("[[[")              # ERROR: Error in function call: jsondecode: "[[[" is not JSON
    f = log(0, 10)                     # ERROR: Error in function call: log: the number is infinite
    g = parseint("x", 10)              # ERROR: Error in function call: parseint: argument 1 cannot parse "x"
  }
}
