"""Reads molfiles: a JSON list of them from standard input, a JSON list of their SMILES to standard output.
An entry is null where RDKit can't read the molfile. Hydrogens that a SMILES does not need are left out."""
import json
import sys

from rdkit import Chem, RDLogger


def smiles(molfile):
    try:
        mol = Chem.MolFromMolBlock(molfile)
        return Chem.MolToSmiles(mol) if mol is not None and mol.GetNumAtoms() else None
    except Exception:  # one molecule that can't be read is no reason to lose the others
        return None


RDLogger.DisableLog("rdApp.*")
json.dump([smiles(molfile) for molfile in json.load(sys.stdin)], sys.stdout)
