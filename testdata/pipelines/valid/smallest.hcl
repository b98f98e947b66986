stage "a" { command = ["true"] }
