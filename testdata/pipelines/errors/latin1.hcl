# ERROR 3: File is not UTF-8: Save the file as UTF-8.
stage "s" {
  title = "Säure"
  command = ["true"]
}
