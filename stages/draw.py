"""Draws molecules: reads a JSON list of SMILES from standard input and writes a JSON list of SVG texts.
An entry is null where RDKit can't read the SMILES."""
import json
import sys

from rdkit import Chem, RDLogger
from rdkit.Chem.Draw import rdMolDraw2D


def draw(smiles):
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    drawer = rdMolDraw2D.MolDraw2DSVG(220, 150)
    drawer.drawOptions().clearBackground = False
    try:
        rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
        drawer.FinishDrawing()
    except Exception:  # one molecule without a picture is better than no picture
        return None
    return drawer.GetDrawingText()


RDLogger.DisableLog("rdApp.*")
json.dump([draw(smiles) for smiles in json.load(sys.stdin)], sys.stdout)
