# -set: a b c
# ERROR 0: Unreadable -set: Write -set=
# -varFile: nosuch.hcl
# ERROR 0: Unreadable file of values: nosuch.hcl can't be read
stage "s" { command = ["true"] }
