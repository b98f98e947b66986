# ERROR 5: Text without an end: The text that begins here has no end: a line with nothing but EOT.
stage "s" {
  command = ["true"]
  file "deck" {
    content = <<-EOT
      PM7
  }
}
