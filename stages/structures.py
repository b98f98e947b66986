"""Reads molfiles: a JSON list of them from standard input, a JSON list of their SMILES to standard output.
An entry is null where RDKit can't read the molfile. Hydrogens that a SMILES does not need are left out.
Behind a blank stands the multiplicity, if the molfile states a triplet: a SMILES can't."""
import json
import re
import sys

from rdkit import Chem, RDLogger


def radicals(molfile):
    """The radical codes of the atoms: 1 singlet, 2 doublet, 3 triplet (CTfile Formats, property RAD)."""
    old = re.findall(r"^M  RAD((?: +\d+)+)", molfile, re.M)
    new = re.findall(r"^M  V30 .*\bRAD=(\d)", molfile, re.M)
    return [int(code) for line in old for code in line.split()[2::2]] + [int(code) for code in new]


def smiles(molfile):
    try:
        mol = Chem.MolFromMolBlock(molfile)
        if mol is None or not mol.GetNumAtoms():
            return None
        return Chem.MolToSmiles(mol) + (" 3" if radicals(molfile) == [3] else "")
    except Exception:  # one molecule that can't be read is no reason to lose the others
        return None


RDLogger.DisableLog("rdApp.*")
json.dump([smiles(molfile) for molfile in json.load(sys.stdin)], sys.stdout)
