# ERROR 3: Text without an end: A text begins in this line that no quote ends.
stage "s" {
  command = ["true, "x"]
  timeout = "1m"
}
merge { a = "b" }
