# A syntax error hides what follows from it.
stage "s" {
  command = ["true" "x"] # ERROR: Missing item separator: Expected a comma
  timeout = var.nosuch
}
