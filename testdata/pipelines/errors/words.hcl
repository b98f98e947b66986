# Words of a command that only a shell understands, and words that no shell needs.
stage "s1" {
  command = ["true", "> out"] # ERROR: Unsuitable command: Word 2 of the command is > out, but no shell
}

stage "s2" {
  command = ["true", "2> err"] # ERROR: Unsuitable command: Word 2 of the command is 2> err, but no shell
}

stage "s3" {
  command = ["true", "| tee"] # ERROR: Unsuitable command: Word 2 of the command is | tee, but no shell
}

stage "s4" {
  command = ["true", "|tee"] # ERROR: Unsuitable command: Word 2 of the command is |tee, but no shell
}

stage "s5" {
  command = ["true", "; ls"] # ERROR: Unsuitable command: Word 2 of the command is ; ls, but no shell
}

stage "s6" {
  command = ["true", "<in"] # ERROR: Unsuitable command: Word 2 of the command is <in, but no shell
}

stage "s7" {
  command = ["true", "~"] # ERROR: Unsuitable command: Word 2 of the command is ~, but no shell
}

stage "s8" {
  command = ["true", "~me/x"] # ERROR: Unsuitable command: Word 2 of the command is ~me/x, but no shell
}

stage "s9" {
  command = ["true", "--out=$HOME/x"] # ERROR: Unsuitable command: Word 2 of the command is --out=$HOME/x, but no shell
}

stage "s10" {
  command = ["true", "x$(date)"] # ERROR: Unsuitable command: Word 2 of the command is x$(date), but no shell
}

stage "s11" {
  command = ["true", "x`date`"] # ERROR: Unsuitable command: Word 2 of the command is x`date`, but no shell
}

stage "s12" {
  command = ["true", "x$${Y}"] # ERROR: Unsuitable command: Word 2 of the command is x${Y}, but no shell
}

stage "s14" {
  command = ["true", "in/*"] # ERROR: Unsuitable command: Word 2 of the command is in/*, but no shell
}

stage "s15" {
  command = ["true", "?.xyz"] # ERROR: Unsuitable command: Word 2 of the command is ?.xyz, but no shell
}

stage "s16" {
  command = ["true", "[ab].xyz"] # ERROR: Unsuitable command: Word 2 of the command is [ab].xyz, but no shell
}

stage "s17" {
  command = ["true", "{a,b}.xyz"] # ERROR: Unsuitable command: Word 2 of the command is {a,b}.xyz, but no shell
}

stage "script" {
  command = ["python3", "--script=../valid/stages/embed.py"] # ERROR: Unsuitable command: Word 2 of the command is ../valid/stages/embed.py, a file beside pipeline.hcl
}

stage "s18" {
  command = ["true", "--out", ">", "x"] # ERROR: Unsuitable command: Word 3 of the command is >, but no shell
}

stage "s19" {
  command = ["true", "--out", "| tee"] # ERROR: Unsuitable command: Word 3 of the command is | tee, but no shell
}

stage "s20" {
  command = ["true", "-", "*.xyz", "x;"] # ERROR: Unsuitable command: Word 3 of the command is *.xyz, but no shell
}

stage "s21" {
  command = ["true", "x;"] # ERROR: Unsuitable command: Word 2 of the command is x;, but no shell
}

stage "values" {
  command = ["true", "-name", "*.log", "-d", ";", "-t", "|", "--include=*.out", "--energy", "<5", "--sep=;", "{}", ";"]
}

stage "good" {
  command = ["true", "*", "C#C", "CC>>CO", "C$C", "-", "--", "a|b", ".*", "[0-9]*", "x=*", "a;b", "50%", "a~b", "C(=O)[O-]", "5*3", "(?i)a+", "$1"]
}

# What a built-in command says of its words. A word that depends on the molecule may be right.
stage "builtin" {
  command = ["conformers", mol.smiles, "--gfn", 3] # ERROR: Unsuitable command: --gfn "3": want 2.
}

stage "may_be_right" {
  command = ["conformers", "x", "--gfn", mol.charge]
}
