# A template file is checked with the pipeline when its values are known.
stage "s" {
  command = ["true", templatefile("bad.tmpl", { a = 1 })] # ERROR: Error in function call: templatefile: bad.tmpl:2: Unknown variable
  timeout = templatefile("nosuch.tmpl", {})               # ERROR: Error in function call: templatefile: nosuch.tmpl: no such file
}
