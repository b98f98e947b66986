# A file whose name depends on the molecule: an edit of it would go unseen, and try would hide that it can't be read.
locals {
  named = mol.smiles
}

stage "a" {
  command = ["true"]
  outputs = { out = "stdout" }
  values = {
    a = try(file(mol.smiles), "none")           # ERROR: File that nobody watches: file: mol.smiles: the name depends on the molecule
    b = can(json("${local.named}.json"))        # ERROR: File that nobody watches: json: "${local.named}.json": the name depends
    c = try(xyz(local.named).comment, "none")   # ERROR: File that nobody watches: xyz: local.named: the name depends on the molecule
    d = try(mopac(output.out, mol.smiles), 1)   # ERROR: File that nobody watches: mopac: mol.smiles: the name depends on the molecule
    e = templatefile(mol.smiles, {})            # ERROR: File that nobody watches: templatefile: mol.smiles: the name depends
    f = [try(file(output.out), mol.smiles), upper(mol.smiles), same_bonds(mol.charge > 0 ? output.out : "", xyz(output.out))]
  }
}

stage "b" {
  for_each = ["a.txt", "b.txt"]
  command  = ["true", try(file(each.value), "none")] # ERROR: File that nobody watches: file: each.value: the name depends on the molecule, so that a change of the file would go unseen; name the file itself, or have a stage copy it, file "NAME" { source = ... }, and read the output. Or the text is the element: for_each = [for f in ["a.txt", "b.txt"] : file(f)].
}

stage "c" {
  for_each = [stage.a.out]
  command  = ["true", file(each.value), file(stage.a.f[mol.charge])]
}
